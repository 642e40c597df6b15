/** What a transport over a BroadcastChannel makes of Web Locks and of pages that go. */
import assert from "node:assert/strict"
import { after, describe, test } from "node:test"
import type { Context } from "../../src/discovery/discovery.ts"
import type { Transport } from "../../src/transport.ts"
import { broadcastChannel } from "../../transports/broadcast-channel.ts"
import { Locks } from "./locks.ts"
import { asText, listen, never, rejection, Side, text } from "./side.ts"

let channels = 0

/** Deno's channels don't take posts when they are opened right after the program's last one was closed. */
const kept = new BroadcastChannel("locks")
after(() => kept.close())

/** Somebody on a channel of its own who does what is written here, and no more. */
class Ghost implements Disposable {
  readonly name = `locks-${++channels}`
  readonly #channel = new BroadcastChannel(this.name)
  readonly #seq = new Map<string, number>()
  readonly #heard: Array<{ readonly from: string; readonly tags: ReadonlyArray<string> }> = []
  #wake = (): void => {}

  constructor() {
    this.#channel.onmessage = ({ data }) => {
      const { from, parts = [] } = data as {
        readonly from: string
        readonly parts?: ReadonlyArray<{ readonly word: { readonly _tag: string } }>
      }
      this.#heard.push({ from, tags: parts.map(({ word }) => word._tag) })
      this.#wake()
    }
  }

  get lock(): string {
    return this.lockOf("ghost")
  }

  lockOf(id: string): string {
    return `skein:${this.name}/${id}`
  }

  /** Says these words in one turn, to all unless to somebody. */
  say(to: string, words: ReadonlyArray<object>, from = "ghost", listens = true): void {
    const seq = (this.#seq.get(from) ?? 0) + 1
    this.#seq.set(from, seq)
    const parts = words.map((word) => ({ to, word }))
    this.#channel.postMessage({ skein: 1, from, seq, listens, locks: true, parts })
  }

  /** Opens a connection. */
  open(address: string, from = "ghost"): void {
    this.say(idOf(address), [{ _tag: "Open", n: 1, own: true }], from)
  }

  /** Waits until somebody has said this; who it was. */
  async hears(tag: string): Promise<string> {
    for (;;) {
      for (let next = this.#heard.shift(); next !== undefined; next = this.#heard.shift())
        if (next.tags.includes(tag)) return next.from
      await new Promise<void>((resolve) => {
        this.#wake = resolve
      })
    }
  }

  [Symbol.dispose](): void {
    this.#channel.close()
  }
}

function idOf(address: string): string {
  return address.slice(address.indexOf("/") + 1)
}

/** What a transport finds on its channel; `end` ends the search. */
function search(transport: Transport): {
  readonly until: (seen: (addresses: ReadonlyArray<string>) => boolean) => Promise<void>
  readonly end: () => void
} {
  const controller = new AbortController()
  const { signal } = controller
  let latest: ReadonlyArray<string> = []
  let wake = (): void => {}
  const found = (addresses: ReadonlyArray<string>): void => {
    latest = addresses
    wake()
  }
  void transport.discovery?.start({ signal, found } as Context)
  return {
    until: async (seen) => {
      while (!seen(latest))
        await new Promise<void>((resolve) => {
          wake = resolve
        })
    },
    end: () => controller.abort(),
  }
}

describe("broadcastChannel with Web Locks", () => {
  test("an end whose lock is free is gone, and isn't found any more", async () => {
    using locks = Locks.install()
    using ghost = new Ghost()
    const transport = broadcastChannel({ name: ghost.name })
    const listening = await listen({ transport: () => transport })
    const { until, end } = search(transport)
    const kill = locks.hold(ghost.lock)
    ghost.open(listening.listener.address)
    const side = await listening.next()
    side.attach()
    await until((addresses) => addresses.includes(`broadcast:${ghost.name}/ghost`))
    kill()
    assert.equal(await side.closed, "reset")
    await until((addresses) => addresses.length === 0)
    end()
    await listening.listener.close()
    while (locks.held.length + locks.waiting.length > 0) await side.breath()
  })

  test("what was said before the lock was free comes all the same", async () => {
    using locks = Locks.install()
    using ghost = new Ghost()
    const transport = (): Transport => broadcastChannel({ name: ghost.name })
    const listening = await listen({ transport })
    const kill = locks.hold(ghost.lock)
    ghost.open(listening.listener.address)
    const side = await listening.next()
    side.attach()
    const stream = { n: 1, own: true }
    ghost.say(idOf(listening.listener.address), [
      { _tag: "Data", ...stream, bytes: text("last words") },
      { _tag: "End", ...stream },
    ])
    kill()
    assert.equal(asText(await side.bytes(10)), "last words")
    assert.equal(await side.closed, "ended")
    await listening.listener.close()
  })

  test("who closes keeps its lock until all it has said was sent", async () => {
    using locks = Locks.install()
    using ghost = new Ghost()
    const kill = locks.hold(ghost.lock)
    const dialling = broadcastChannel({ name: ghost.name }).dial(
      `broadcast:${ghost.name}/ghost`,
      never,
    )
    const dialler = await ghost.hears("Open")
    ghost.say(dialler, [{ _tag: "Accept", n: 1, own: false }])
    const side = new Side(await dialling)
    side.attach()
    side.connection.close()
    // No message comes back within the turn in which it was sent.
    for (let i = 0; i < 100; i++) await Promise.resolve()
    assert.ok(locks.held.includes(ghost.lockOf(dialler)))
    await ghost.hears("End")
    while (locks.held.includes(ghost.lockOf(dialler))) await side.breath()
    assert.deepEqual(locks.waiting, [])
    kill()
  })

  test("who is refused, or gives up, leaves no lock and nobody who waits for one", async () => {
    using locks = Locks.install()
    using ghost = new Ghost()
    const transport = broadcastChannel({ name: ghost.name })
    const { listener } = await listen({ transport: () => transport })
    const own = ghost.lockOf(idOf(listener.address))
    // Listens no more, and is still there as it looks for others.
    const { end } = search(transport)
    await listener.close()
    const strangers = Array.from({ length: 20 }, (_, i) => `stranger${i}`)
    const kills = strangers.map((from) => locks.hold(ghost.lockOf(from)))
    for (const from of strangers) {
      ghost.open(listener.address, from)
      await ghost.hears("Refuse")
    }
    assert.deepEqual(locks.waiting, [])

    const giving = new AbortController()
    const address = `broadcast:${ghost.name}/stranger0`
    const dialling = rejection(broadcastChannel({ name: ghost.name }).dial(address, giving.signal))
    // Its own lock is taken by then, and nothing is said.
    while (locks.held.length === strangers.length + 1) await Promise.resolve()
    giving.abort()
    assert.equal(((await dialling) as { reason?: string }).reason, "aborted")
    for (const kill of kills) kill()
    while (locks.held.some((name) => name !== own)) await new Promise((r) => setTimeout(r, 0))
    end()
    while (locks.held.length > 0) await new Promise((resolve) => setTimeout(resolve, 0))
  })

  test("who isn't there isn't asked, and isn't found any more", async () => {
    using _locks = Locks.install()
    using ghost = new Ghost()
    const transport = broadcastChannel({ name: ghost.name, answerMillis: 0x7fff_ffff })
    const { until, end } = search(transport)
    await ghost.hears("Hello")
    const address = `broadcast:${ghost.name}/ghost`
    ghost.say("", [{ _tag: "Here" }])
    await until((addresses) => addresses.includes(address))
    const error = await rejection(transport.dial(address, never))
    assert.equal((error as { reason?: string }).reason, "refused")
    await until((addresses) => addresses.length === 0)
    end()
  })
})

describe("broadcastChannel among many", () => {
  test("newcomers are found, however many there were before", async () => {
    using ghost = new Ghost()
    const transport = broadcastChannel({ name: ghost.name })
    const { until, end } = search(transport)
    await ghost.hears("Hello")
    for (let i = 0; i < 1_030; i++) ghost.say("", [{ _tag: "Here" }], `g${i}`)
    await until((addresses) => addresses.at(-1) === `broadcast:${ghost.name}/g1029`)
    await until((addresses) => addresses.length === 1_024)
    ghost.say("", [{ _tag: "Bye" }], "g1029", false)
    await until((addresses) => addresses.length === 1_023)
    end()
  })
})

describe("broadcastChannel in a page", () => {
  test("says that it goes, unless it may come back", async () => {
    const host = globalThis as { addEventListener?: unknown; removeEventListener?: unknown }
    const before = [host.addEventListener, host.removeEventListener]
    let hide = (_event: object): void => {}
    host.addEventListener = (type: string, listener: typeof hide) => {
      if (type === "pagehide") hide = listener
    }
    host.removeEventListener = () => {}
    try {
      using ghost = new Ghost()
      const transport = (): Transport => broadcastChannel({ name: ghost.name })
      const page = await listen({ transport })
      const side = new Side(await transport().dial(page.listener.address, never))
      side.attach()
      const own = await page.next()
      own.attach()
      hide({ persisted: true })
      own.connection.write(text("asleep"))
      assert.equal(asText(await side.bytes(6)), "asleep")
      hide({ persisted: false })
      assert.equal(await side.closed, "reset")
      own.connection.destroy()
      await page.listener.close()
    } finally {
      ;[host.addEventListener, host.removeEventListener] = before
    }
  })
})
