/**
 * The first words on every connection: two nodes learn who the other is, agree on a version, and
 * prove to each other that they know the cluster's cookie, which never travels.
 *
 * ```text
 *   dialler                                            acceptor
 *   hello(versions, identity, nonce A)       →         cluster and version fit?
 *   cluster and version fit? admitted?       ←         challenge(versions, identity, nonce B)
 *   proof(HMAC(cookie, "dialler", both))     →         proven? admitted?
 *   proven?                                  ←         welcome(HMAC(cookie, "acceptor", both))
 * ```
 *
 * Instead of any frame either side may send a refusal. The proofs are HMAC-SHA-256 over a label and
 * both greetings as they were sent, with fresh nonces from both sides: a recorded handshake is of no
 * use, and neither is one's own proof sent back. The dialler proves first, so that strangers get
 * nothing from an acceptor against which to try out cookies. Refusals that would make a node act (a
 * taken name, say) carry a proof too and don't count without it.
 *
 * What this doesn't do: whoever sits between two nodes can still read and change what they say
 * afterwards. Where the network isn't trusted, use a transport that encrypts.
 *
 * @module
 */
import type { Connection } from "../transport.ts"
import { Writer } from "./bytes.ts"
import * as Frame from "./frame.ts"
import * as Greeting from "./greeting.ts"
import { type Identity, KIND, type Rejection } from "./greeting.ts"

export type { Identity, Rejection } from "./greeting.ts"
export { PROTOCOL_MAJOR, PROTOCOL_MINOR } from "./greeting.ts"

/** How long a handshake may take. */
export const HANDSHAKE_TIMEOUT_MILLIS: number = 5000
/** How long a side that was refused may take to hear it. */
export const FAREWELL_MILLIS: number = 1000

/** The other side, proven. `minor` is the version to speak; `features` are those both sides have. */
export interface Peer extends Identity {
  readonly features: readonly string[]
}

/** Whether this node wants a connection with a peer. */
export type Verdict =
  | { readonly _tag: "Admit" }
  | {
      readonly _tag: "Reject"
      readonly reason: Rejection
      /** Of the node that holds the name, with `name-conflict` and `superseded`. */
      readonly epoch?: number
      readonly instance?: number
    }

/** This side: who it is, and what it needs of its host. */
export interface Local {
  readonly identity: Identity
  /** The cluster's secret. Undefined only where every possible peer is trusted: nothing is proven. */
  readonly cookie: string | undefined
  /**
   * Asked once per handshake: by an acceptor (`in`) when the peer has proven itself, by a dialler
   * (`out`) before that, so that it must not believe what the peer says of itself.
   */
  readonly admit: (peer: Peer, direction: "in" | "out") => Verdict
  /** Runs `f` once after at least `millis`; the result cancels it. */
  readonly timer: (millis: number, f: () => void) => () => void
  /** Random bytes that nobody can guess. */
  readonly randomBytes: (count: number) => Uint8Array
}

/** A handshake that succeeded. The connection has no handlers: bytes wait for the next `receive`. */
export interface Established {
  readonly peer: Peer
  /** Bytes that came behind the handshake and precede those that the connection will deliver. */
  readonly rest: Uint8Array
  readonly connection: Connection
}

/** A handshake failed, and its connection is closed. */
export class HandshakeFailed extends Error {
  readonly _tag: "HandshakeFailed" = "HandshakeFailed"
  readonly reason: Rejection
  /** Which side ended it. */
  readonly by: "us" | "them"
  readonly remote: string
  readonly detail: string
  /** Of the node that holds the name, with `name-conflict` and `superseded`. */
  readonly epoch: number | undefined
  readonly instance: number | undefined
  constructor(remote: string, by: "us" | "them", refusal: Greeting.Refusal) {
    const { reason, detail, epoch, instance } = refusal
    super(
      `handshake with ${remote}: ${by === "us" ? "refused" : "they refused"}: ${detail} (${reason})`,
    )
    this.reason = reason
    this.by = by
    this.remote = remote
    this.detail = detail
    this.epoch = epoch
    this.instance = instance
  }
}

/**
 * The dialler's side. Rejects with {@link HandshakeFailed} once the connection is over, the other
 * side having been told why where that was possible.
 */
export function initiate(connection: Connection, local: Local): Promise<Established> {
  return new Session(connection, local, "dialler").run(async (session) => {
    session.hello = session.greet(KIND.hello)
    session.challenge = await session.next(KIND.challenge)
    const peer = session.understand(session.challenge)
    session.judge(peer, "out")
    const proof = await session.proof("dialler")
    // From here on the acceptor may take us for a member: a refusal would look like a message.
    session.mute = true
    session.send(Greeting.writeProof(KIND.proof, proof))
    const welcome = await session.next(KIND.welcome)
    await session.verify("acceptor", welcome)
    return peer
  })
}

/** The acceptor's side. See {@link initiate}. */
export function respond(connection: Connection, local: Local): Promise<Established> {
  return new Session(connection, local, "acceptor").run(async (session) => {
    session.hello = await session.next(KIND.hello)
    const peer = session.understand(session.hello)
    session.challenge = session.greet(KIND.challenge)
    const proof = await session.next(KIND.proof)
    await session.verify("dialler", proof)
    const welcome = Greeting.writeProof(KIND.welcome, await session.proof("acceptor"))
    session.judge(peer, "in")
    session.mute = true
    session.send(welcome)
    return peer
  })
}

// --- one handshake -------------------------------------------------------------------------------

type Role = "dialler" | "acceptor"

/** Thrown inside a handshake to end it. */
class Stop {
  readonly by: "us" | "them"
  readonly refusal: Greeting.Refusal
  constructor(by: "us" | "them", reason: Rejection, detail: string, named: Named = {}) {
    this.by = by
    this.refusal = { reason, detail, epoch: named.epoch, instance: named.instance }
  }
}

interface Named {
  readonly epoch?: number | undefined
  readonly instance?: number | undefined
}

/** Refusals that a stranger, too, may have reason to send: nothing follows from them but a retry. */
const UNPROVEN: ReadonlySet<Rejection> = new Set<Rejection>([
  "version",
  "cluster",
  "authentication",
  "full",
  "malformed",
  "timeout",
  "too-large",
  "closed",
])

const NO_BYTES = new Uint8Array(0)
const NO_PROOF = new Uint8Array(Greeting.PROOF_BYTES)

class Session {
  /** The bodies of both greetings, once they are known: what the proofs are about. */
  hello: Uint8Array | undefined
  challenge: Uint8Array | undefined
  /** Nothing more may be sent. */
  mute = false
  readonly #connection: Connection
  readonly #local: Local
  readonly #role: Role
  #pending: Uint8Array = NO_BYTES
  #stop: Stop | undefined
  #closed = false
  #wake: () => void = nothing

  constructor(connection: Connection, local: Local, role: Role) {
    this.#connection = connection
    this.#local = local
    this.#role = role
  }

  /** Runs `steps` within the time limit, and puts the connection into the state that was promised. */
  async run(steps: (session: Session) => Promise<Peer>): Promise<Established> {
    const cancel = this.#local.timer(HANDSHAKE_TIMEOUT_MILLIS, () =>
      this.#end(new Stop("us", "timeout", `no handshake within ${HANDSHAKE_TIMEOUT_MILLIS} ms`)),
    )
    try {
      const peer = await steps(this)
      if (this.#stop !== undefined) throw this.#stop
      return { peer, rest: this.#pending, connection: this.#connection }
    } catch (error) {
      if (!(error instanceof Stop)) {
        this.#connection.destroy()
        throw error
      }
      await this.#part(error)
      throw new HandshakeFailed(this.#connection.remote, error.by, error.refusal)
    } finally {
      cancel()
    }
  }

  /** Sends our greeting; its body. */
  greet(kind: number): Uint8Array {
    const nonce = this.#local.randomBytes(Greeting.NONCE_BYTES)
    const body = Greeting.writeGreeting(kind, this.#local.identity, nonce)
    this.send(body)
    return body
  }

  send(body: Uint8Array): void {
    const writer = new Writer(body.length + Frame.HEADER_BYTES)
    const at = Frame.begin(writer)
    writer.raw(body)
    Frame.end(writer, at)
    // Never more than a few hundred bytes: whether the buffer is full needn't be asked.
    this.#connection.write(writer.take())
  }

  /** The body of the next frame, which must be of this kind. */
  async next(kind: number): Promise<Uint8Array> {
    const body = await this.#read()
    if (body[0] === kind) return body
    if (body[0] === KIND.refusal) throw await this.#refused(body)
    throw new Stop("us", "malformed", "not the frame that is due")
  }

  /** Who sent a greeting, when we could be members of one cluster. */
  understand(body: Uint8Array): Peer {
    const { identity } = this.#local
    const greeting = Greeting.readGreeting(body)
    if (greeting === "malformed") throw new Stop("us", "malformed", "not a greeting")
    const minor = greeting === "version" ? -1 : Math.min(greeting.identity.minor, identity.minor)
    const oldest = greeting === "version" ? 0 : greeting.minorMin
    if (greeting === "version" || minor < Math.max(oldest, Greeting.PROTOCOL_MINOR_MIN)) {
      const ours = `${Greeting.PROTOCOL_MAJOR}.${identity.minor}`
      throw new Stop("us", "version", `no version in common with ${ours}`)
    }
    if (greeting.identity.cluster !== identity.cluster) {
      throw new Stop("us", "cluster", "another cluster")
    }
    const known = new Set(identity.features)
    const features = (greeting.identity.features ?? []).filter((feature) => known.has(feature))
    return { ...greeting.identity, minor, features }
  }

  /** Throws unless this node wants the peer. */
  judge(peer: Peer, direction: "in" | "out"): void {
    const { identity, admit } = this.#local
    // Checked here as well: who relays a node's own frames back to it must get nowhere.
    if (peer.name === identity.name && peer.instance === identity.instance) {
      throw new Stop("us", "self", "that is this very node")
    }
    const verdict = admit(peer, direction)
    if (verdict._tag === "Admit") return
    throw new Stop("us", verdict.reason, `${peer.name} isn't admitted`, verdict)
  }

  /** The proof that `role` knows the cookie, about both greetings and `more`. */
  proof(role: string, more: Uint8Array = NO_BYTES): Promise<Uint8Array> {
    const { hello, challenge } = this
    if (hello === undefined || challenge === undefined) throw new Error("BUG: nothing to prove yet")
    const writer = new Writer(hello.length + challenge.length + more.length + 64)
    writer.string(`skein ${Greeting.PROTOCOL_MAJOR} ${role}`)
    // With their lengths: no two different conversations give the same bytes.
    writer.bytes(hello)
    writer.bytes(challenge)
    writer.bytes(more)
    return hmac(this.#local.cookie, writer.take())
  }

  /** Throws unless `body` carries the proof of `role`. */
  async verify(role: string, body: Uint8Array): Promise<void> {
    const given = Greeting.readProof(body)
    if (given === undefined) throw new Stop("us", "malformed", "not a proof")
    if (equal(given, await this.proof(role))) return
    throw new Stop("us", "authentication", "another cookie")
  }

  // --- reading -----------------------------------------------------------------------------------

  /** The next frame's body. Handlers are there only while one is awaited: else bytes stay outside. */
  async #read(): Promise<Uint8Array> {
    if (this.#stop === undefined && !this.#complete()) await this.#receive()
    if (this.#stop !== undefined) throw this.#stop
    const end = Frame.HEADER_BYTES + this.#length()
    const body = new Uint8Array(this.#pending.subarray(Frame.HEADER_BYTES, end))
    this.#pending = this.#pending.subarray(end)
    return body
  }

  /** Resolves when a frame is complete, or the handshake has to stop. */
  #receive(): Promise<void> {
    return new Promise((resolve) => {
      this.#wake = resolve
      this.#connection.receive({
        data: (bytes) => {
          this.#pending = this.#pending.length === 0 ? bytes : concat(this.#pending, bytes)
          if (!this.#complete()) return
          // At once, so that what follows, be it the end, is told to who takes over.
          this.#connection.receive(undefined)
          resolve()
        },
        drain: nothing,
        close: (reason) => {
          this.#closed = true
          this.#end(new Stop("them", "closed", `the connection was closed (${reason})`))
        },
      })
    })
  }

  /** Whether there is nothing to wait for: a frame is here, or one announced that is too long. */
  #complete(): boolean {
    if (this.#pending.length < Frame.HEADER_BYTES) return false
    const length = this.#length()
    if (length > Frame.HANDSHAKE_FRAME_BYTES_MAX) {
      this.#end(new Stop("us", "too-large", "a frame longer than any of a handshake"))
      return true
    }
    return this.#pending.length >= Frame.HEADER_BYTES + length
  }

  #length(): number {
    return new DataView(this.#pending.buffer, this.#pending.byteOffset).getUint32(0, true)
  }

  #end(stop: Stop): void {
    this.#stop ??= stop
    this.#wake()
  }

  // --- refusals ----------------------------------------------------------------------------------

  /** What the other side's refusal means. */
  async #refused(body: Uint8Array): Promise<Stop> {
    const read = Greeting.readRefusal(body)
    if (read === undefined) return new Stop("us", "malformed", "not a refusal")
    const { reason, detail, epoch, instance } = read.refusal
    if (UNPROVEN.has(reason)) return new Stop("them", reason, detail)
    const from = this.#role === "dialler" ? "acceptor" : "dialler"
    const known = this.hello !== undefined && this.challenge !== undefined
    if (known && equal(read.proof, await this.proof(`${from} refuses`, read.covered))) {
      return new Stop("them", reason, detail, { epoch, instance })
    }
    return new Stop("them", "authentication", `a refusal without proof (${reason})`)
  }

  /** Tells the other side why, where that makes sense, and sees the connection closed. */
  async #part(stop: Stop): Promise<void> {
    if (this.#closed) return
    if (stop.by === "them" || this.mute) return this.#connection.destroy()
    const covered = Greeting.writeRefusal(stop.refusal)
    const proof = UNPROVEN.has(stop.refusal.reason)
      ? NO_PROOF
      : await this.proof(`${this.#role} refuses`, covered)
    this.send(Greeting.sealRefusal(covered, proof))
    await new Promise<void>((resolve) => {
      const cancel = this.#local.timer(FAREWELL_MILLIS, () => this.#connection.destroy())
      this.#connection.receive({
        data: nothing,
        drain: nothing,
        close: () => {
          cancel()
          resolve()
        },
      })
      this.#connection.close()
    })
  }
}

// --- helpers -------------------------------------------------------------------------------------

function nothing(): void {}

function concat(a: Uint8Array, b: Uint8Array): Uint8Array {
  const both = new Uint8Array(a.length + b.length)
  both.set(a)
  both.set(b, a.length)
  return both
}

/** HMAC-SHA-256 (RFC 2104, FIPS 180-4). Without a cookie there is nothing to prove: zeros. */
async function hmac(cookie: string | undefined, bytes: Uint8Array): Promise<Uint8Array> {
  if (cookie === undefined) return NO_PROOF
  const { subtle } = globalThis.crypto
  // The byte in front keeps the key from being empty, which not every host takes.
  const raw = new TextEncoder().encode(`\u0001${cookie}`)
  const algorithm = { name: "HMAC", hash: "SHA-256" }
  const key = await subtle.importKey("raw", raw, algorithm, false, ["sign"])
  return new Uint8Array(await subtle.sign("HMAC", key, bytes as Uint8Array<ArrayBuffer>))
}

/** Whether two proofs are equal, in a time that doesn't tell where they differ. */
function equal(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false
  let difference = 0
  for (let i = 0; i < a.length; i++) difference |= a[i]! ^ b[i]!
  return difference === 0
}
