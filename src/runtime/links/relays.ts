/**
 * Connections through neighbours: two nodes that can't reach each other, or not yet, have a stream over the
 * links of nodes between them. What they say on it, from their handshake on, is theirs alone: who relays it
 * only moves bytes, in order, and holds no more of them than fit into the stream's window.
 *
 * @module
 */
import { type Segment, Stream } from "../../stream.ts"
import type { Connection } from "../../transport.ts"
import { PeerUnreachable } from "../../transport.ts"
import type { Reader } from "../../wire/bytes.ts"
import * as Message from "../../wire/message.ts"
import type { Platform } from "../platform.ts"
import type { Link } from "./link.ts"

/** What the relays need of their node. */
export interface RelaysOptions {
  /** The node's name. */
  readonly name: string
  readonly platform: Platform
  /** The link to a peer. */
  readonly link: (name: string) => Link | undefined
  /** How long the neighbours have to find a way. */
  readonly dialMillis: number
  /** Somebody wants to connect, through the nodes of `path`, the first of which is our neighbour. */
  readonly accept: (connection: Connection, path: ReadonlyArray<string>) => void
}

/** A connection through the nodes of `path`, the first of which is our neighbour. */
export interface Relayed {
  readonly connection: Connection
  readonly path: ReadonlyArray<string>
}

/** Nodes between two that a neighbour connects. */
const HOPS_MAX = 3
/** Streams over one link, a node's own and those it relays. */
const LEGS_MAX = 1_024
/** Bytes of one message: others have their turn between two. */
const PIECE_BYTES = 64 * 1024

/** What is at this side of a stream over a link: this node's end of it, or the way on. */
interface Leg {
  take(message: Message.Relay): void
  /** The link is gone. */
  lost(): void
}

/** The streams of one node over the links it has. */
export class Relays {
  readonly #options: RelaysOptions
  readonly #legs = new Map<Link, Map<number, Leg>>()
  #lastId = 0

  constructor(options: RelaysOptions) {
    this.#options = options
  }

  /** Connects to a peer through a neighbour that has a link to it. Rejects with PeerUnreachable. */
  dial(peer: string, via: string): Promise<Relayed> {
    const { name, platform, dialMillis } = this.#options
    const link = this.#options.link(via)
    return new Promise((resolve, reject) => {
      const fail = (reason: "unreachable" | "timeout"): void => {
        cancel()
        if (link !== undefined) this.#remove(link, id)
        reject(new PeerUnreachable(`${peer} through ${via}`, reason))
      }
      const cancel = platform.timer(dialMillis, () => {
        if (link !== undefined) send(link, { _tag: "Reset", id })
        fail("timeout")
      })
      const id = link === undefined ? 0 : this.#number(link)
      const asked: Leg = {
        take: (message) => {
          if (message._tag !== "Accept") return fail("unreachable")
          cancel()
          const connection = this.#end(link as Link, id, `${peer} through ${via}`)
          resolve({ connection, path: message.path })
        },
        lost: () => fail("unreachable"),
      }
      if (link === undefined || !this.#add(link, id, asked)) return fail("unreachable")
      send(link, { _tag: "Open", id, target: peer, path: [name, ...link.path] })
    })
  }

  /** A message about streams came on a link; false when it is malformed. */
  receive(link: Link, reader: Reader): boolean {
    const message = Message.relay.read(reader)
    if (!reader.done()) return false
    if (message._tag === "Open") this.#open(link, message)
    else this.#legs.get(link)?.get(message.id)?.take(message)
    return true
  }

  /** A link is gone, and with it all streams over it. */
  linkDown(link: Link): void {
    const legs = this.#legs.get(link)
    this.#legs.delete(link)
    for (const leg of legs?.values() ?? []) leg.lost()
  }

  // --- opening -----------------------------------------------------------------------------------

  #open(link: Link, message: Extract<Message.Relay, { readonly _tag: "Open" }>): void {
    const { id, target, path } = message
    const opened =
      target === this.#options.name ? this.#accept(link, id, path) : this.#relay(link, message)
    if (!opened) send(link, { _tag: "Refuse", id })
  }

  #accept(link: Link, id: number, path: ReadonlyArray<string>): boolean {
    const [origin, ...between] = path
    if (origin === undefined || !this.#room(link, id)) return false
    const connection = this.#end(link, id, `${origin} through ${link.peer.name}`)
    send(link, { _tag: "Accept", id, path: between })
    this.#options.accept(connection, [...between].reverse())
    return true
  }

  /** Passes on what comes for a peer that this node has a link to. */
  #relay(link: Link, { id, target, path }: Extract<Message.Relay, { _tag: "Open" }>): boolean {
    const on = this.#options.link(target)
    if (on === undefined || on === link) return false
    const further = [...path, this.#options.name, ...on.path]
    // The first of them is who asks. Nobody is met twice on the way.
    if (further.length - 1 > HOPS_MAX || new Set([...further, target]).size <= further.length)
      return false
    const onId = this.#number(on)
    if (!this.#room(link, id) || !this.#room(on, onId)) return false
    this.#add(link, id, this.#pass(link, id, on, onId))
    this.#add(on, onId, this.#pass(on, onId, link, id))
    send(on, { _tag: "Open", id: onId, target, path: further })
    return true
  }

  // --- legs --------------------------------------------------------------------------------------

  /** This node's end of a stream. */
  #end(link: Link, id: number, remote: string): Stream {
    const over = (): void => this.#remove(link, id)
    const stream = new Stream({
      remote,
      // The links it goes over are sealed, and the nodes between know the cookie anyway.
      secure: true,
      over,
      send: (segment) => transmit(link, id, segment),
      defer: queueMicrotask,
    })
    this.#remove(link, id)
    this.#add(link, id, {
      take: (message) => {
        if (message._tag === "Refuse") stream.lost()
        else if (message._tag !== "Open" && message._tag !== "Accept") stream.take(message)
      },
      lost: () => stream.lost(),
    })
    return stream
  }

  /** What comes on a link under `id` goes on to another under `onId`. */
  #pass(link: Link, id: number, on: Link, onId: number): Leg {
    const end = (): void => {
      this.#remove(link, id)
      this.#remove(on, onId)
    }
    return {
      take: (message) => {
        // Who doesn't read may not fill our memory.
        if (on.full && message._tag === "Data") {
          end()
          send(link, { _tag: "Reset", id })
          return send(on, { _tag: "Reset", id: onId })
        }
        send(on, { ...message, id: onId })
        const { _tag } = message
        if (_tag === "End" || _tag === "Reset" || _tag === "Refuse") end()
      },
      lost: () => {
        end()
        send(on, { _tag: "Reset", id: onId })
      },
    }
  }

  /** A number that no other stream over the link has, whoever opens it. */
  #number(link: Link): number {
    return 2 * ++this.#lastId + (link.initiator === "us" ? 1 : 0)
  }

  #room(link: Link, id: number): boolean {
    const legs = this.#legs.get(link)
    return link.open && (legs === undefined || (legs.size < LEGS_MAX && !legs.has(id)))
  }

  #add(link: Link, id: number, leg: Leg): boolean {
    if (!this.#room(link, id)) return false
    const legs = this.#legs.get(link) ?? new Map<number, Leg>()
    this.#legs.set(link, legs.set(id, leg))
    return true
  }

  #remove(link: Link, id: number): void {
    const legs = this.#legs.get(link)
    if (legs?.delete(id) && legs.size === 0) this.#legs.delete(link)
  }
}

function transmit(link: Link, id: number, segment: Segment): void {
  if (segment._tag !== "Data") return send(link, { ...segment, id })
  const { bytes } = segment
  for (let at = 0; at < bytes.length; at += PIECE_BYTES)
    send(link, { _tag: "Data", id, bytes: bytes.subarray(at, at + PIECE_BYTES) })
}

function send(link: Link, message: Message.Relay): void {
  if (!link.open) return
  const writer = link.begin()
  writer.u8(Message.KIND.relay)
  Message.relay.write(writer, message)
  link.end()
}
