/**
 * Addresses from a file that somebody else writes: a deployment's script, a mounted configuration.
 *
 * ```text
 *   10.0.0.5:7001     # one address a line, with comments,
 *   10.0.0.6:7001
 *
 *   ["10.0.0.5:7001", "10.0.0.6:7001"]     or a list in JSON
 * ```
 *
 * The file is read when it changes, and every few seconds where the system doesn't tell. Write it beside
 * and rename it into place, so that it is never read half written. A file that isn't there means that
 * nobody is yet; as its name may be mistyped, the first such look in a row is reported as a failure. What
 * can't be read or understood is reported too, and what was read last holds.
 *
 * @module
 */
import { type FSWatcher, watch } from "node:fs"
import { readFile, stat } from "node:fs/promises"
import { basename, dirname } from "node:path"
import type { Context, Discovery } from "./discovery.ts"
import { checkedPeriod, poll } from "./poll.ts"

/** Options of {@link file}. */
export interface FileOptions {
  /** About how often the file is read even if nothing tells of a change. Default: 5,000. */
  readonly periodMillis?: number
}

const PERIOD_MILLIS = 5_000
/** After a change, writers get this long to finish. */
const SETTLE_MILLIS = 50
/** A file larger than this is none of ours. */
const BYTES_MAX = 1024 * 1024

/**
 * The strategy that reads a file, for as long as the context lasts.
 *
 * @throws RangeError for a period below 1
 */
export function file(path: string, options: FileOptions = {}): Discovery {
  const periodMillis = checkedPeriod(options.periodMillis ?? PERIOD_MILLIS)
  return {
    kind: "file",
    start: (context: Context): void => {
      const watcher = new Watcher(path, context, () => look())
      const look = poll(context, {
        periodMillis,
        look: () => {
          watcher.watch()
          return read(path)
        },
        nobody: isMissing,
      })
    },
  }
}

/** The addresses in the text of a file. Throws SyntaxError for a list in JSON that isn't one. */
export function parse(text: string): ReadonlyArray<string> {
  // A line may begin with a bracket too, that of an IPv6 address: no quote follows there.
  if (/^\s*\[\s*["\]]/.test(text)) return listed(text)
  return text
    .split("\n")
    .map((line) => line.replace(/#.*/, "").trim())
    .filter((line) => line !== "")
}

function listed(text: string): ReadonlyArray<string> {
  const list: unknown = JSON.parse(text)
  if (Array.isArray(list) && list.every((each) => typeof each === "string")) return list
  throw new SyntaxError("the file holds a list of which not everything is an address")
}

async function read(path: string): Promise<ReadonlyArray<string>> {
  const { size } = await stat(path)
  if (size > BYTES_MAX) throw new RangeError(`${path} has ${size} bytes: that is no list of nodes`)
  return parse(await readFile(path, "utf8"))
}

function isMissing(error: unknown): boolean {
  const { code } = (error ?? {}) as { readonly code?: unknown }
  return code === "ENOENT"
}

/**
 * Watches the directory, not the file: a file that is renamed into place is another file, of which a
 * watcher of the old one hears nothing.
 */
class Watcher {
  readonly #path: string
  readonly #context: Context
  readonly #changed: () => void
  #watcher: FSWatcher | undefined
  #cancel: () => void = () => {}

  constructor(path: string, context: Context, changed: () => void) {
    this.#path = path
    this.#context = context
    this.#changed = changed
    context.signal.addEventListener("abort", () => this.#end())
  }

  /** Watches from now on, if it doesn't yet and the directory lets it. */
  watch(): void {
    if (this.#watcher !== undefined || this.#context.signal.aborted) return
    try {
      const watcher = watch(dirname(this.#path), (_kind, name) => this.#heard(name))
      watcher.on("error", () => this.#end())
      this.#watcher = watcher
    } catch {
      // Without a directory, or where nothing can be watched, looking again and again has to do.
    }
  }

  #heard(name: string | null): void {
    // Kubernetes mounts a configuration behind a link `..data`, and replaces that.
    if (name !== null && name !== basename(this.#path) && name !== "..data") return
    this.#cancel()
    this.#cancel = this.#context.timer(SETTLE_MILLIS, this.#changed)
  }

  #end(): void {
    this.#watcher?.close()
    this.#watcher = undefined
  }
}
