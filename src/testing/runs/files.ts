/**
 * Files and environment, where the host has them: failing plans and their pictures are written, plans to be
 * replayed are read. In a browser there are none, and nothing is written.
 *
 * @module
 */

/** What is used of the host's file system. */
interface Disk {
  mkdirSync(path: string, options: { readonly recursive: boolean }): unknown
  writeFileSync(path: string, text: string): void
  readFileSync(path: string, encoding: "utf8"): string
}

interface Process {
  readonly env?: Readonly<Record<string, string | undefined>>
  readonly argv?: ReadonlyArray<string>
  getBuiltinModule?(name: string): unknown
}

/** The files of a failing run. */
export interface Written {
  readonly json: string | undefined
  readonly html: string
  readonly txt: string
  /** The command that runs the plan again, as far as it can be told. */
  readonly replay: string
}

/** What goes into the files. */
export interface Contents {
  /** The plan, where there is one. */
  readonly json?: () => string
  readonly html: (replay: string) => string
  readonly txt: () => string
}

/** Writes the files `directory/name.…`; undefined where that is not wanted, or not possible. */
export function write(
  directory: string | false,
  name: string,
  contents: Contents,
): Written | undefined {
  const fs = disk()
  if (directory === false || fs === undefined) return undefined
  const path = (type: string): string => `${directory}/${name}.${type}`
  const json = contents.json === undefined ? undefined : path("json")
  const [html, txt] = [path("html"), path("txt")]
  const replay = `SKEIN_REPLAY=${path("json")} ${command()}`
  try {
    fs.mkdirSync(directory, { recursive: true })
    if (contents.json !== undefined) fs.writeFileSync(path("json"), contents.json())
    fs.writeFileSync(html, contents.html(replay))
    fs.writeFileSync(txt, contents.txt())
  } catch {
    // A read-only disk must not hide why the test failed.
    return undefined
  }
  return { json, html, txt, replay }
}

/** The text of a file. Throws where there is none. */
export function read(path: string): string {
  const fs = disk()
  if (fs === undefined) throw new Error(`can't read ${path}: this host has no files`)
  return fs.readFileSync(path, "utf8")
}

/** An environment variable; undefined also where the host has none, or doesn't let us look. */
export function environment(name: string): string | undefined {
  try {
    return host()?.env?.[name]
  } catch {
    return undefined
  }
}

/** How the tests were started, as far as it can be told. */
function command(): string {
  const globals = globalThis as { readonly Bun?: unknown; readonly Deno?: unknown }
  if (environment("VITEST") !== undefined) return "npx vitest run"
  if (globals.Deno !== undefined) return "deno test --allow-all"
  const script = host()?.argv?.[1] ?? ""
  const file = /\.[cm]?[jt]sx?$/.test(script) ? ` ${relative(script)}` : ""
  if (globals.Bun !== undefined)
    return /\btest\.[cm]?[jt]sx?$/.test(file) ? `bun test${file}` : `bun${file}`
  return /\btest\.[cm]?[jt]sx?$/.test(file) ? `node --test${file}` : `node${file}`
}

function relative(path: string): string {
  const cwd = (host() as { cwd?(): string } | undefined)?.cwd?.()
  return cwd !== undefined && path.startsWith(`${cwd}/`) ? path.slice(cwd.length + 1) : path
}

function host(): Process | undefined {
  return (globalThis as { readonly process?: Process }).process
}

function disk(): Disk | undefined {
  return host()?.getBuiltinModule?.("node:fs") as Disk | undefined
}
