/**
 * Two ends that ask each other, and are no whole nodes: services, a link between them, and time that stands still.
 *
 * @module
 */
import assert from "node:assert/strict"
import { Context } from "effect"
import { type Call, Calls } from "../../src/runtime/calls/calls.ts"
import { Replies } from "../../src/runtime/calls/replies.ts"
import { NodeStopped, NotData, reasonOf } from "../../src/runtime/errors.ts"
import { Events, type NodeEvent } from "../../src/runtime/events.ts"
import * as Failure from "../../src/runtime/failure.ts"
import { Services } from "../../src/runtime/functions/services.ts"
import * as Limits from "../../src/runtime/limits.ts"
import { Link } from "../../src/runtime/links/link.ts"
import type { Parts } from "../../src/runtime/parts.ts"
import type { Platform } from "../../src/runtime/platform.ts"
import type { Connection, Handlers } from "../../src/transport.ts"
import { Reader } from "../../src/wire/bytes.ts"
import * as Message from "../../src/wire/message.ts"
import * as Value from "../../src/wire/value.ts"

/** One of two ends. */
export interface End {
  readonly calls: Calls
  readonly services: Services
}

/** Time that passes only when it is told to. */
export interface Time {
  readonly platform: Platform
  /** Lets so many milliseconds pass. */
  advance(millis: number): void
  /** Lets everything come that needs no time. */
  turns(): Promise<void>
}

/** The ends `a` and `b`, and what goes on between them. */
export interface Pair {
  readonly a: End
  readonly at: { readonly a: Services; readonly b: Services }
  /** From a to b. */
  readonly link: Link
  readonly time: Time
  /** The kinds of the frames that came, and to whom. */
  readonly frames: Array<string>
  readonly events: Readonly<Record<"a" | "b", Array<NodeEvent>>>
  /** The link breaks, and another one takes its place. */
  reconnect(): void
  /** What a node does with its services at its end. */
  end(name: "a" | "b"): void
}

/** The ends `a` and `b`, which have a link to each other. */
export function pair(limits: Partial<Limits.Limits> = {}): Pair {
  const time = clock()
  const frames: Array<string> = []
  const events: Record<"a" | "b", Array<NodeEvent>> = { a: [], b: [] }
  const stopped = new Set<string>()
  const links = { a: new Map<string, Link>(), b: new Map<string, Link>() }
  const make = (name: "a" | "b"): End => {
    const calls = new Calls(
      time.platform,
      {
        copy: Value.copy,
        notData: (process, error) => new NotData(process, reasonOf(error), "executed"),
        cancel: () => assert.fail("requests wait in no mailbox"),
      },
      limits.pendingMax ?? 1_000,
    )
    const heard = new Events()
    heard.watch((event) => events[name].push(event))
    const parts = {
      name,
      platform: time.platform,
      limits: { ...Limits.defaults, ...limits },
      events: heard,
      calls,
      links: links[name],
      stopped: (process: string) =>
        stopped.has(name) ? new NodeStopped(process, name) : undefined,
    } as unknown as Parts
    const replies = new Replies(parts, () =>
      assert.fail("answers to requests of its own need none"),
    )
    return { calls, services: new Services(parts, Context.empty(), replies) }
  }
  const ends = { a: make("a"), b: make("b") }

  const receive = (to: "a" | "b", link: Link, buffer: Uint8Array, start: number, end: number) => {
    const { calls, services } = ends[to]
    const reader = new Reader(buffer, start, end)
    const kind = reader.u8()
    frames.push(`${kind} to ${to}`)
    if (kind === Message.KIND.request) return assert.ok(services.receive(link, reader))
    if (kind === Message.KIND.abandon) return assert.ok(services.abandoned(link, reader))
    const call = calls.get(reader.uint())
    if (kind === Message.KIND.reply) return call?.receive(Value.read(reader))
    assert.equal(kind, Message.KIND.failure)
    call?.fail(Failure.fromWire(Message.error.read(reader)))
  }
  const connect = (): void => {
    const [one, other] = connection()
    for (const [name, peer, wire] of [
      ["a", "b", one],
      ["b", "a", other],
    ] as const) {
      const link = new Link({ name: peer } as Link["peer"], "us", wire, {
        frameBytesMax: 1_000_000,
        queueBytesMax: 1_000_000,
        ...limits,
        path: [],
        keys: undefined,
        now: time.platform.now,
        onFrame: (link, buffer, start, end) => receive(name, link, buffer, start, end),
        onClose: () => {
          links[name].delete(peer)
          if (!stopped.has(name)) ends[name].services.linkDown(peer)
        },
      })
      links[name].set(peer, link)
      link.start(new Uint8Array())
    }
  }
  connect()
  const link = links.a.get("b") as Link
  return {
    a: ends.a,
    at: { a: ends.a.services, b: ends.b.services },
    link,
    time,
    frames,
    events,
    reconnect: () => {
      for (const link of [links.a.get("b"), links.b.get("a")]) link?.destroy()
      connect()
    },
    end: (name: "a" | "b") => {
      stopped.add(name)
      const outcome = (call: Call) => (call.node === undefined ? "not-executed" : "unknown")
      ends[name].calls.close((call) => new NodeStopped(call.process, name, outcome(call)))
      ends[name].services.close()
    },
  }
}

/** Two ends of a connection: what one writes comes to the other a moment later. */
function connection(): [Connection, Connection] {
  const handlers: Array<Handlers | undefined> = []
  const end = (mine: number, other: number): Connection => ({
    remote: "",
    write: (bytes) => {
      queueMicrotask(() => handlers[other]?.data(bytes))
      return true
    },
    receive: (given) => {
      handlers[mine] = given
    },
    close: () => {},
    destroy: () => {},
  })
  return [end(0, 1), end(1, 0)]
}

function clock(): Time {
  let now = 0
  const timers = new Set<{ readonly at: number; readonly f: () => void }>()
  const platform: Platform = {
    now: () => now,
    wall: () => now,
    timer: (millis, f) => {
      const timer = { at: now + millis, f }
      timers.add(timer)
      return () => void timers.delete(timer)
    },
    defer: (f) => queueMicrotask(f),
    randomBytes: (count) => new Uint8Array(count),
  }
  return {
    platform,
    advance: (millis: number) => {
      now += millis
      for (const timer of [...timers]) if (timer.at <= now && timers.delete(timer)) timer.f()
    },
    turns: async () => {
      for (let n = 0; n < 50; n++) await Promise.resolve()
    },
  }
}
