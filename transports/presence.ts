/**
 * Who is there, by Web Locks where the host has them: each holds a lock in its name for as long as it is there,
 * and whoever waits for that lock gets it at the very moment at which the other one is gone, killed or not.
 *
 * Locks reach as far as BroadcastChannels do: one origin in a browser, one program elsewhere. A page that holds
 * one isn't frozen by its browser while nobody sees it.
 *
 * @module
 */

/** What is used of the Web Locks API. */
interface LockManager {
  request(
    name: string,
    options: { readonly mode: "exclusive" | "shared"; readonly signal?: AbortSignal },
    granted: () => Promise<void> | undefined,
  ): Promise<unknown>
  query(): Promise<{ readonly held?: ReadonlyArray<{ readonly name?: string }> }>
}

/** The presence of one, and what it wants to know of others, whose locks are named `PREFIX/ID`. */
export class Presence {
  /** Whether the host has locks, and gives them. */
  locks: boolean
  readonly #prefix: string
  readonly #gone: (id: string) => void
  readonly #manager: LockManager | undefined
  readonly #watched = new Map<string, AbortController>()
  #held: Promise<void> | undefined
  #release: () => void = () => {}

  /** `gone` is told of each that is watched, once it is gone. */
  constructor(prefix: string, gone: (id: string) => void) {
    this.#prefix = prefix
    this.#gone = gone
    this.#manager = manager()
    this.locks = this.#manager !== undefined
  }

  /** From now on `id` is there. Resolves when others can know that. */
  hold(id: string): Promise<void> {
    this.#held ??= this.#hold(id)
    return this.#held
  }

  #hold(id: string): Promise<void> {
    const manager = this.#manager
    if (manager === undefined) return Promise.resolve()
    return new Promise<void>((resolve) => {
      const over = new Promise<void>((release) => {
        this.#release = release
      })
      const granted = (): Promise<void> => {
        resolve()
        return over
      }
      manager.request(this.#name(id), { mode: "exclusive" }, granted).catch(() => {
        // Where locks are denied, as in a sandboxed frame, it goes without.
        this.locks = false
        resolve()
      })
    })
  }

  /** Whether it is certain that `id` isn't there. */
  async absent(id: string): Promise<boolean> {
    if (this.#manager === undefined) return false
    const name = this.#name(id)
    try {
      const { held = [] } = await this.#manager.query()
      return !held.some((lock) => lock.name === name)
    } catch {
      return false
    }
  }

  /** `gone` is to be told of `id`, which holds its lock. */
  watch(id: string): void {
    if (this.#manager === undefined || this.#watched.has(id)) return
    const watch = new AbortController()
    this.#watched.set(id, watch)
    const granted = (): undefined => {
      if (this.#watched.get(id) !== watch) return
      this.#watched.delete(id)
      this.#gone(id)
    }
    this.#manager
      .request(this.#name(id), { mode: "shared", signal: watch.signal }, granted)
      .catch(() => {})
  }

  /** It isn't of interest any more. */
  unwatch(id: string): void {
    this.#watched.get(id)?.abort()
    this.#watched.delete(id)
  }

  /** It isn't there any more, and nobody is of interest. */
  close(): void {
    this.#release()
    this.#held = undefined
    for (const id of [...this.#watched.keys()]) this.unwatch(id)
  }

  #name(id: string): string {
    return `${this.#prefix}/${id}`
  }
}

function manager(): LockManager | undefined {
  const { navigator } = globalThis as { navigator?: { readonly locks?: LockManager } }
  return typeof navigator?.locks?.request === "function" ? navigator.locks : undefined
}
