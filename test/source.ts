/**
 * Reads the project's own files for the tests that check them: which there are, what they import, and
 * their code without comments and texts. It runs from the sources and from their compiled copies.
 */
import { existsSync, readdirSync, readFileSync, statSync } from "node:fs"
import { dirname, join } from "node:path"
import { fileURLToPath } from "node:url"

/** The project's directory. */
export const root: string = findRoot(dirname(fileURLToPath(import.meta.url)))

/** A file and what the checks need to know of it. */
export interface Source {
  /** Relative to the root, with slashes. */
  readonly path: string
  readonly text: string
  /** The text with every comment, string, template text and regular expression blanked out. */
  readonly code: string
  readonly imports: ReadonlyArray<Import>
}

/** One import, re-export or dynamic import of a fixed module. */
export interface Import {
  readonly specifier: string
  /** The names it takes, as the other module calls them; none for `* as` and side effects. */
  readonly names: ReadonlyArray<string>
}

/** Parses the text of a file; what isn't TypeScript or JavaScript is taken as it is. */
export function parse(path: string, text: string): Source {
  // Only code has code: masking a lock file takes seconds.
  if (!/\.(?:ts|mjs)$/.test(path)) return { path, text, code: text, imports: [] }
  const { code, uncommented } = mask(text)
  return { path, text, code, imports: findImports(code, uncommented) }
}

const loaded = new Map<string, Source>()

/** Reads and parses a file of the project; once for all. */
export function load(path: string): Source {
  const known = loaded.get(path) ?? parse(path, read(path))
  loaded.set(path, known)
  return known
}

/** Reads a file of the project as text. */
export function read(path: string): string {
  return readFileSync(join(root, path), "utf8")
}

/** Reads a JSON file of the project; the caller says what is in it. */
export function readJson<T>(path: string): T {
  return JSON.parse(read(path)) as T
}

/** Every file under these paths of the project, sorted; what is generated or hidden is left out. */
export function list(...paths: ReadonlyArray<string>): ReadonlyArray<string> {
  return paths.flatMap((path) => walk(path)).sort()
}

function walk(path: string): ReadonlyArray<string> {
  const full = join(root, path)
  if (!existsSync(full)) return []
  if (!statSync(full).isDirectory()) return [path]
  const entries = readdirSync(full, { withFileTypes: true })
  const shown = entries.filter((entry) => !entry.name.startsWith("."))
  return shown.flatMap((entry) => {
    const below = `${path}/${entry.name}`
    return entry.isDirectory() ? walk(below) : [below]
  })
}

function findRoot(directory: string): string {
  const manifest = join(directory, "package.json")
  if (existsSync(manifest) && JSON.parse(readFileSync(manifest, "utf8")).name === "skein") {
    return directory
  }
  const above = dirname(directory)
  if (above === directory) throw new Error("the project's directory was not found")
  return findRoot(above)
}

function findImports(code: string, uncommented: string): ReadonlyArray<Import> {
  const patterns = [
    /\b(?:import|export)\b(?:\s+type\b)?\s*([\w$*{},\s]*?)\s*\bfrom\s*["']([^"'\n]+)["']/g,
    /\bimport\s*(\()?\s*["']([^"'\n]+)["']/g,
  ]
  return patterns.flatMap((pattern) =>
    Array.from(uncommented.matchAll(pattern))
      // Code has a space here when the match stands inside a text.
      .filter((match) => code[match.index] !== " ")
      .map(([, clause = "", specifier = ""]) => ({ specifier, names: namesOf(clause) })),
  )
}

function namesOf(clause: string): ReadonlyArray<string> {
  const list = /\{([^}]*)\}/.exec(clause)?.[1] ?? ""
  const names = list.split(",").map((name) => name.trim().replace(/^type\s+/, ""))
  return names.map((name) => name.split(/\s/)[0] ?? "").filter((name) => name !== "")
}

// What a scanner of this size can tell apart: comments, quoted texts, a template up to the next `${`,
// and a regular expression, which starts with a slash where no operand ends.
const token =
  /\/\/[^\n]*|\/\*[\s\S]*?\*\/|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'|[`}](?:\\[\s\S]|\$(?!\{)|[^`\\$])*(?:`|\$\{)|\/(?:\\.|\[(?:\\.|[^\]\\\n])*\]|[^/\\[\n])+\/[a-z]*|[{}]/y

/** Blanks comments, and in `code` texts too. Both have the length and the lines of `text`. */
function mask(text: string): { readonly code: string; readonly uncommented: string } {
  const code = text.split("")
  const uncommented = text.split("")
  // One entry for each open brace: true when it was opened by `${`.
  const braces: Array<boolean> = []
  let at = 0
  while (at < text.length) {
    const found = tokenAt(text, at, braces)
    for (let i = at; i < at + found.length; i++) {
      if (text[i] === "\n") continue
      if (found.kind !== "code") code[i] = " "
      if (found.kind === "comment") uncommented[i] = " "
    }
    at += found.length
  }
  return { code: code.join(""), uncommented: uncommented.join("") }
}

interface Token {
  readonly kind: "code" | "comment" | "text"
  readonly length: number
}

function tokenAt(text: string, at: number, braces: Array<boolean>): Token {
  token.lastIndex = at
  const found = token.exec(text)?.[0]
  const first = text[at] ?? ""
  if (first === "{") braces.push(false)
  // A closing brace ends a block, or goes on with the template that its `${` interrupted.
  if (first === "}" && braces.pop() !== true) return { kind: "code", length: 1 }
  if (found === undefined || first === "{") return { kind: "code", length: 1 }
  if (found.startsWith("//") || found.startsWith("/*")) {
    return { kind: "comment", length: found.length }
  }
  if (first === "/" && !operandExpected(text, at)) return { kind: "code", length: 1 }
  if ((first === "`" || first === "}") && found.endsWith("${")) braces.push(true)
  return { kind: "text", length: found.length }
}

function operandExpected(text: string, at: number): boolean {
  const before = text.slice(Math.max(0, at - 40), at).trimEnd()
  return /(?:^|[(,=:[!&|?{};+\-*%<>~^]|\b(?:return|typeof|case|in|of|do|else))$/.test(before)
}
