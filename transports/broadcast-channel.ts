/**
 * Nodes in tabs of one browser and origin, or in the threads of one program on Bun, Deno and Node, that talk
 * over a BroadcastChannel and find each other there: no server, no address, no cookie.
 *
 * Whatever one says on the channel comes to all. So what a node has to say in one turn is one message, and nodes ask
 * each other little: see `Connection.bus`. Tabs that nobody sees take part, as browsers slow down their timers and not
 * their messages. Where there are Web Locks, the end of a tab is known at once, however it ended.
 *
 * Trusted: any script of the origin, or of the program, can take part. For several clusters use several names.
 *
 * @example
 * ```ts
 * import { startNode } from "skein"
 * import { broadcastChannel } from "skein/transports/broadcast-channel"
 *
 * await using tab = await startNode({ transport: broadcastChannel({ name: "app" }) })
 * ```
 *
 * @module
 */
import type { Context } from "../src/discovery/discovery.ts"
import { Streams, type Word } from "../src/streams.ts"
import {
  AddressUnavailable,
  type Connection,
  type Listener,
  PeerUnreachable,
  type Transport,
} from "../src/transport.ts"
import { Presence } from "./presence.ts"

/** Options of {@link broadcastChannel}. */
export interface BroadcastChannelOptions {
  /** The channel's name: nodes on others aren't seen. Without `/` and spaces. */
  readonly name: string
  /** Bytes of one connection that may be ahead of the reader. At least, and by default, 1 MiB. */
  readonly windowBytes?: number
  /** Who doesn't answer a dial for so many milliseconds isn't there: unseen tabs answer too. Default: 500. */
  readonly answerMillis?: number
}

const ANSWER_MILLIS = 500
/** Sixteen posts to one reader are ahead of it at most: Deno drops what is more than 256 behind. */
const MESSAGE_BYTES_MIN = 16 * 1024
const TEXT = /^[^/\s]{1,128}$/
/** A channel that was opened right after the program's last one was closed doesn't take posts, on Deno. */
const FAILURES_MAX = 10
/** The first field of what is ours on a channel, and the version of what it means. */
const VERSION = 1
/** Others on the channel that are kept in mind. */
const OTHERS_MAX = 1_024

/** What one end says to another, or to all of them when `to` is empty. */
interface Part {
  readonly to: string
  readonly word: Word | { readonly _tag: "Hello" | "Here" | "Bye" | "Gone" }
}

/** What is posted: everything that its sender had to say in one turn. */
interface Post {
  readonly skein: number
  readonly from: string
  /** Counts the sender's posts: what is missing was lost by the host. */
  readonly seq: number
  /** Whether the sender can be dialled. */
  readonly listens: boolean
  /** Whether it holds a lock for as long as it is there. */
  readonly locks: boolean
  readonly parts: ReadonlyArray<Part>
}

/**
 * A transport over the channel `name`. Addresses are `broadcast:NAME/ID`, with a random ID.
 *
 * @throws TypeError when the name isn't a text that an address can have
 */
export function broadcastChannel(options: BroadcastChannelOptions): Transport {
  const { name } = options
  if (!TEXT.test(name)) throw new TypeError(`name must match ${TEXT}, got ${String(name)}`)
  const bus = new Bus(options)
  return {
    kind: "broadcast-channel",
    trusted: true,
    listen: (accept) => bus.listen(accept),
    dial: (address, signal) => bus.dial(address, signal),
    discovery: { kind: "broadcast-channel", start: (context) => bus.discover(context) },
  }
}

/** One transport's part of a channel. */
class Bus {
  readonly #name: string
  readonly #id = randomId()
  readonly #windowBytes: number | undefined
  readonly #answerMillis: number
  readonly #presence: Presence
  /** Open while somebody listens, looks for others, or is connected. */
  #channel: BroadcastChannel | undefined
  #accept: ((connection: Connection) => void) | undefined
  #discovering: Context | undefined
  /** Those that listen, as far as they have said something; the latest last. */
  readonly #others = new Set<string>()
  /** The last post of each that is connected. */
  readonly #heardOf = new Map<string, number>()
  readonly #streams = new Map<string, Streams>()
  /** Echoes that are waited for, by who is over once they come, and the end of the wait. */
  readonly #echoes = new Map<string, ReturnType<typeof setTimeout>>()
  #dialling = 0
  /** Said, and part of no post yet. */
  #parts: Array<Part> = []
  /** Not posted yet; none but while the channel doesn't take them. */
  #posts: Array<Post> = []
  #seq = 0
  #failures = 0

  constructor({ name, windowBytes, answerMillis }: BroadcastChannelOptions) {
    this.#name = name
    this.#windowBytes = windowBytes
    this.#answerMillis = answerMillis ?? ANSWER_MILLIS
    this.#presence = new Presence(`skein:${name}`, (other) => this.#echo(other))
  }

  async listen(accept: (connection: Connection) => void): Promise<Listener> {
    const address = this.#address(this.#id)
    if (this.#accept !== undefined) throw new AddressUnavailable(address, "it is taken")
    this.#accept = accept
    await this.#presence.hold(this.#id)
    for (const streams of this.#streams.values()) streams.accept = accept
    this.#open()
    const hidden = (event: Event): void => {
      // A page that may come back is only asleep; another has no time for more than a word.
      if ((event as PageTransitionEvent).persisted) return
      this.#say("", { _tag: "Gone" })
      this.#flush()
    }
    globalThis.addEventListener?.("pagehide", hidden)
    return {
      address,
      close: async () => {
        globalThis.removeEventListener?.("pagehide", hidden)
        if (this.#accept !== accept) return
        this.#accept = undefined
        for (const streams of this.#streams.values()) streams.accept = undefined
        this.#say("", { _tag: "Bye" })
        this.#rest()
      },
    }
  }

  async dial(address: string, signal: AbortSignal): Promise<Connection> {
    const id = this.#idOf(address)
    if (id === undefined) throw new PeerUnreachable(address, "invalid-address")
    if (signal.aborted) throw new PeerUnreachable(address, "aborted", signal.reason)
    if (id === this.#id) throw new PeerUnreachable(address, "refused")
    this.#dialling++
    try {
      // Who isn't there isn't asked, where that can be known.
      if (await this.#presence.absent(id)) {
        this.#gone(id)
        throw new PeerUnreachable(address, "refused")
      }
      await this.#presence.hold(this.#id)
      if (signal.aborted) throw new PeerUnreachable(address, "aborted", signal.reason)
      this.#open()
      // (Silence is no: nobody else would say so.)
      return await this.#streamsTo(id).dial(signal, this.#answerMillis, "refused")
    } finally {
      this.#dialling--
      this.#rest()
    }
  }

  discover(context: Context): void {
    this.#discovering = context
    this.#open()
    context.signal.addEventListener("abort", () => {
      if (this.#discovering === context) this.#discovering = undefined
      this.#rest()
    })
    this.#say("", { _tag: "Hello" })
    this.#found()
  }

  // --- the channel -------------------------------------------------------------------------------

  #open(): void {
    this.#forget(this.#id)
    if (this.#channel !== undefined) return
    const channel = new BroadcastChannel(this.#name)
    channel.onmessage = ({ data }) => this.#heard(data)
    this.#channel = channel
  }

  /** Lets go of the channel when nobody needs it any more, and all that was said has been sent. */
  #rest(): void {
    this.#flush()
    if (this.#used()) return
    if (this.#channel !== undefined && this.#presence.locks) this.#echo(this.#id)
    else this.#letGo()
  }

  #used(): boolean {
    if (this.#accept !== undefined || this.#discovering !== undefined) return true
    if (this.#dialling > 0 || this.#posts.length > 0) return true
    return [...this.#streams.values()].some(({ count }) => count > 0)
  }

  #letGo(): void {
    this.#channel?.close()
    this.#channel = undefined
    this.#presence.close()
    this.#streams.clear()
    this.#others.clear()
    for (const id of [...this.#echoes.keys()]) this.#forget(id)
  }

  /**
   * One whose lock is free is over once an echo has come, and so is this one before it frees its own: locks and
   * messages take different ways, and the last words of who closed in order would come after its end.
   */
  #echo(id: string): void {
    if (this.#echoes.has(id)) return
    // (Deno's channels between threads may drop it.)
    const late = setTimeout(() => this.#echoed(id), this.#answerMillis)
    this.#echoes.set(id, late)
    try {
      // Another object, as a channel doesn't hear itself.
      const channel = new BroadcastChannel(this.#name)
      channel.postMessage({ skein: VERSION, from: this.#id, echo: id })
      channel.close()
    } catch {
      this.#echoed(id)
    }
  }

  #echoed(id: string): void {
    if (!this.#forget(id)) return
    if (id !== this.#id) this.#gone(id)
    else if (!this.#used()) this.#letGo()
  }

  /** Whether the echo was waited for; now it isn't. */
  #forget(id: string): boolean {
    clearTimeout(this.#echoes.get(id))
    return this.#echoes.delete(id)
  }

  /** Everything of one turn is one message. */
  #say(to: string, word: Part["word"]): void {
    this.#parts.push({ to, word })
    if (this.#parts.length === 1) queueMicrotask(this.#flush)
  }

  readonly #flush = (): void => {
    if (this.#channel === undefined) return
    if (this.#parts.length > 0) {
      const head = { skein: VERSION, from: this.#id, seq: ++this.#seq }
      const state = { listens: this.#accept !== undefined, locks: this.#presence.locks }
      this.#posts.push({ ...head, ...state, parts: this.#parts })
      this.#parts = []
    }
    while (this.#posts.length > 0) {
      try {
        this.#channel.postMessage(this.#posts[0])
        this.#failures = 0
      } catch (error) {
        return this.#failed(error)
      }
      this.#posts.shift()
    }
  }

  /** It is sent again, by a program that has just opened one more channel: whoever has got it knows its number. */
  #failed(error: unknown): void {
    if (this.#failures++ >= FAILURES_MAX) throw error
    new BroadcastChannel(this.#name).close()
    setTimeout(() => this.#rest(), 0)
  }

  // --- others ------------------------------------------------------------------------------------

  /** Anything may be on a channel: what isn't ours is ignored. */
  #heard(data: unknown): void {
    const post = data as (Post & { readonly echo?: unknown }) | null
    if (typeof post !== "object" || post?.skein !== VERSION) return
    const { from, listens, parts, echo } = post
    if (from === this.#id) return typeof echo === "string" ? this.#echoed(echo) : undefined
    if (typeof from !== "string" || !TEXT.test(from) || !Array.isArray(parts)) return
    if (!this.#follows(from, post.seq)) return
    if (listens === true) this.#met(from)
    else if (this.#others.delete(from)) this.#found()
    for (const part of parts) {
      const { to, word } = part ?? {}
      if ((to !== "" && to !== this.#id) || typeof word !== "object" || word === null) continue
      this.#told(post, word)
    }
  }

  /**
   * Whether it is new. Where something is missing (Deno's channels between threads drop what comes faster
   * than it is read) the connections are over: a stream has no holes.
   */
  #follows(from: string, seq: number): boolean {
    if (!Number.isSafeInteger(seq)) return false
    const last = this.#heardOf.get(from)
    if (last === undefined) return true
    if (seq <= last) return false
    if (seq > last + 1) this.#streams.get(from)?.lost(true)
    if (this.#heardOf.has(from)) this.#heardOf.set(from, seq)
    return true
  }

  #told({ from, seq, locks }: Post, word: Part["word"]): void {
    switch (word._tag) {
      case "Hello":
        return this.#accept && this.#say("", { _tag: "Here" })
      case "Here":
      case "Bye":
        // That it listens, or doesn't any more, each of its posts says.
        return
      case "Gone":
        return this.#gone(from)
      default: {
        const stranger = !this.#streams.has(from)
        if (stranger && (word._tag !== "Open" || this.#streams.size >= OTHERS_MAX)) return
        const streams = this.#streamsTo(from)
        streams.take(word)
        if (streams.count === 0) return this.#idle(from, streams)
        this.#heardOf.set(from, seq)
        if (locks === true) this.#presence.watch(from)
      }
    }
  }

  #met(other: string): void {
    if (this.#others.has(other)) return
    const [first = ""] = this.#others
    if (this.#others.size >= OTHERS_MAX) this.#others.delete(first)
    this.#others.add(other)
    this.#found()
  }

  /** Another one is gone, as it said itself or its lock tells. */
  #gone(other: string): void {
    if (this.#others.delete(other)) this.#found()
    this.#streams.get(other)?.lost()
    this.#streams.delete(other)
    this.#heardOf.delete(other)
  }

  #found(): void {
    this.#discovering?.found([...this.#others].map((other) => this.#address(other)))
  }

  #streamsTo(other: string): Streams {
    const known = this.#streams.get(other)
    if (known !== undefined) return known
    const streams = new Streams({
      remote: this.#address(other),
      post: (word) => this.#say(other, owned(word)),
      idle: () => this.#idle(other, streams),
      windowBytes: this.#windowBytes,
      bus: true,
      secure: true,
      messageBytesMin: MESSAGE_BYTES_MIN,
    })
    streams.accept = this.#accept
    this.#streams.set(other, streams)
    return streams
  }

  /** Nothing is left between the two. */
  #idle(other: string, streams: Streams): void {
    if (this.#streams.get(other) === streams) this.#streams.delete(other)
    this.#heardOf.delete(other)
    this.#presence.unwatch(other)
    this.#rest()
  }

  #address(id: string): string {
    return `broadcast:${this.#name}/${id}`
  }

  #idOf(address: string): string | undefined {
    const prefix = this.#address("")
    const id = address.startsWith(prefix) ? address.slice(prefix.length) : ""
    return TEXT.test(id) ? id : undefined
  }
}

/** Cloning a view takes along all that lies behind it. (`slice` of a Node Buffer would be one more view.) */
function owned(word: Word): Word {
  if (word._tag !== "Data" || word.bytes.byteLength === word.bytes.buffer.byteLength) return word
  return { ...word, bytes: new Uint8Array(word.bytes) }
}

function randomId(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(10))
  return Array.from(bytes, (byte) => byte.toString(36).padStart(2, "0")).join("")
}
