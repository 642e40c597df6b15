/**
 * Web Locks of a host that may have none, granted as soon as they are free: before any message that was posted
 * earlier has come.
 *
 * @module
 */

interface Request {
  readonly shared: boolean
  readonly grant: () => void
}

interface Options {
  readonly mode?: "exclusive" | "shared"
  readonly signal?: AbortSignal
}

/** The locks of one program. */
export class Locks {
  readonly #held = new Map<string, Set<Request>>()
  readonly #waiting = new Map<string, Set<Request>>()

  /** In place of what the host has, until the result is disposed of. */
  static install(): Locks & Disposable {
    const before = Object.getOwnPropertyDescriptor(globalThis, "navigator")
    const locks = new Locks()
    Object.defineProperty(globalThis, "navigator", { value: { locks }, configurable: true })
    return Object.assign(locks, {
      [Symbol.dispose]: () => {
        Reflect.deleteProperty(globalThis, "navigator")
        if (before !== undefined) Object.defineProperty(globalThis, "navigator", before)
      },
    })
  }

  /** The names of those that are held. */
  get held(): ReadonlyArray<string> {
    return [...this.#held.keys()]
  }

  /** The names of those that somebody waits for. */
  get waiting(): ReadonlyArray<string> {
    return [...this.#waiting.keys()]
  }

  /** Holds a lock until the result is called. */
  hold(name: string): () => void {
    let release = (): void => {}
    const until = new Promise<void>((resolve) => {
      release = resolve
    })
    void this.request(name, {}, () => until)
    return release
  }

  async request(
    name: string,
    { mode, signal }: Options,
    granted: () => Promise<void> | undefined,
  ): Promise<void> {
    let request: Request | undefined
    await new Promise<void>((resolve, reject) => {
      request = { shared: mode === "shared", grant: resolve }
      put(this.#waiting, name, request)
      signal?.addEventListener("abort", () => {
        if (take(this.#waiting, name, request as Request)) reject(signal.reason)
      })
      this.#next(name)
    })
    try {
      await granted()
    } finally {
      take(this.#held, name, request as unknown as Request)
      this.#next(name)
    }
  }

  async query(): Promise<{ readonly held: ReadonlyArray<{ readonly name: string }> }> {
    return { held: this.held.map((name) => ({ name })) }
  }

  #next(name: string): void {
    for (const request of [...(this.#waiting.get(name) ?? [])]) {
      const held = [...(this.#held.get(name) ?? [])]
      if (held.length > 0 && !(request.shared && held.every(({ shared }) => shared))) return
      take(this.#waiting, name, request)
      put(this.#held, name, request)
      request.grant()
    }
  }
}

function put(map: Map<string, Set<Request>>, name: string, request: Request): void {
  map.set(name, (map.get(name) ?? new Set()).add(request))
}

/** Whether it was there. */
function take(map: Map<string, Set<Request>>, name: string, request: Request): boolean {
  const all = map.get(name)
  const there = all?.delete(request) ?? false
  if (all?.size === 0) map.delete(name)
  return there
}
