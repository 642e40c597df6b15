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
 * From the same words and the cookie both sides derive the keys with which they seal what they say afterwards
 * (`seal.ts`), unless both of them say that their end of the connection is secure as it is.
 *
 * What this doesn't do: whoever sits between two nodes can still read what they say afterwards. Where that
 * matters, use a transport that encrypts.
 *
 * @module
 */
import type { Connection } from "../transport.ts"
import { Exchange, Stop, type Timer } from "./exchange.ts"
import * as Greeting from "./greeting.ts"
import { type Identity, KIND, type Rejection } from "./greeting.ts"
import * as Mac from "./mac.ts"
import * as Proof from "./proof.ts"
import * as Seal from "./seal.ts"

export { FAREWELL_MILLIS, HANDSHAKE_TIMEOUT_MILLIS } from "./exchange.ts"
export type { Identity, Rejection } from "./greeting.ts"
export { PROTOCOL_MAJOR, PROTOCOL_MINOR } from "./greeting.ts"

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
  readonly timer: Timer
  /** Random bytes that nobody can guess. */
  readonly randomBytes: (count: number) => Uint8Array
}

/** A handshake that succeeded. The connection has no handlers: bytes wait for the next `receive`. */
export interface Established {
  readonly peer: Peer
  /** Bytes that came behind the handshake and precede those that the connection will deliver. */
  readonly rest: Uint8Array
  readonly connection: Connection
  /** How `rest`, and all that follows in both directions, is sealed; undefined when it isn't. */
  readonly keys: Seal.Keys | undefined
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
  return run(connection, local, "dialler", async (session) => {
    session.hello = session.greet(KIND.hello)
    session.challenge = await session.next(KIND.challenge)
    const peer = session.understand(session.challenge)
    session.judge(peer, "out")
    const proof = await session.prove("dialler")
    // From here on the acceptor may take us for a member: a refusal would look like a message.
    session.mute = true
    session.send(Greeting.writeProof(KIND.proof, proof))
    const welcome = await session.next(KIND.welcome)
    await session.verify("acceptor", welcome)
    return { peer, keys: await session.keys(peer) }
  })
}

/** The acceptor's side. See {@link initiate}. */
export function respond(connection: Connection, local: Local): Promise<Established> {
  return run(connection, local, "acceptor", async (session) => {
    session.hello = await session.next(KIND.hello)
    const peer = session.understand(session.hello)
    session.challenge = session.greet(KIND.challenge)
    const proof = await session.next(KIND.proof)
    await session.verify("dialler", proof)
    const welcome = Greeting.writeProof(KIND.welcome, await session.prove("acceptor"))
    const keys = await session.keys(peer)
    // Nothing is awaited between the verdict and the welcome: the verdict still holds.
    session.judge(peer, "in")
    session.mute = true
    session.send(welcome)
    return { peer, keys }
  })
}

// --- one handshake -------------------------------------------------------------------------------

type Role = "dialler" | "acceptor"

async function run(
  connection: Connection,
  local: Local,
  role: Role,
  steps: (session: Session) => Promise<Pick<Established, "peer" | "keys">>,
): Promise<Established> {
  const exchange = new Exchange(connection, local.timer)
  const session = new Session(exchange, local, role)
  exchange.start()
  try {
    const { peer, keys } = await steps(session)
    exchange.check()
    return { peer, keys, rest: exchange.succeed(), connection }
  } catch (error) {
    if (!(error instanceof Stop)) throw error
    if (error.by === "us" && !session.mute) {
      await exchange.part(await session.refusal(error.refusal))
    }
    throw new HandshakeFailed(connection.remote, error.by, error.refusal)
  } finally {
    exchange.end()
  }
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

/** The feature of a node whose end of the connection nobody else can reach: it needs no seals. */
const SECURE = "secure"
/** That of a node that seals with the faster algorithm. */
const GMAC = "gmac"

class Session {
  /** The bodies of both greetings, once they are known: what the proofs are about. */
  hello: Uint8Array | undefined
  challenge: Uint8Array | undefined
  /** Nothing more may be sent. */
  mute = false
  readonly #exchange: Exchange
  readonly #local: Local
  readonly #identity: Identity
  readonly #role: Role

  constructor(exchange: Exchange, local: Local, role: Role) {
    const { identity } = local
    const features = [...(identity.features ?? [])]
    // (What a secure end says doesn't depend on its host.)
    if (exchange.connection.secure === true) features.push(SECURE)
    else if (Mac.fast()) features.push(GMAC)
    this.#exchange = exchange
    this.#local = local
    this.#identity = { ...identity, features }
    this.#role = role
  }

  send(body: Uint8Array): void {
    this.#exchange.send(body)
  }

  /** Sends our greeting; its body. */
  greet(kind: number): Uint8Array {
    const nonce = this.#local.randomBytes(Greeting.NONCE_BYTES)
    const body = Greeting.writeGreeting(kind, this.#identity, nonce)
    this.send(body)
    return body
  }

  /** The body of the next frame, which must be of this kind. */
  async next(kind: number): Promise<Uint8Array> {
    const body = await this.#exchange.read()
    if (body[0] === kind) return body
    if (body[0] === KIND.refusal) throw await this.#refused(body)
    throw new Stop("us", "malformed", "not the frame that is due")
  }

  /** Who sent a greeting, when we could be members of one cluster. */
  understand(body: Uint8Array): Peer {
    const identity = this.#identity
    const greeting = Greeting.readGreeting(body)
    if (greeting === "malformed") throw new Stop("us", "malformed", "not a greeting")
    if (greeting === "version") throw incompatible(identity)
    const minor = Math.min(greeting.identity.minor, identity.minor)
    if (minor < Math.max(greeting.minorMin, Greeting.PROTOCOL_MINOR_MIN))
      throw incompatible(identity)
    if (greeting.identity.cluster !== identity.cluster) {
      throw new Stop("us", "cluster", "another cluster")
    }
    const known = new Set(identity.features)
    const features = (greeting.identity.features ?? []).filter((feature) => known.has(feature))
    return { ...greeting.identity, minor, features }
  }

  /** Throws unless this node wants the peer. */
  judge(peer: Peer, direction: "in" | "out"): void {
    this.#exchange.check()
    const { identity, admit } = this.#local
    // Checked here as well: who relays a node's own frames back to it must get nowhere.
    if (peer.name === identity.name && peer.instance === identity.instance) {
      throw new Stop("us", "self", "that is this very node")
    }
    const verdict = admit(peer, direction)
    if (verdict._tag === "Admit") return
    throw new Stop("us", verdict.reason, `${peer.name} isn't admitted`, verdict)
  }

  /** The proof of `label`, about both greetings and `more`. */
  prove(label: string, more: Uint8Array = new Uint8Array(0)): Promise<Uint8Array> {
    const { hello, challenge } = this
    if (hello === undefined || challenge === undefined) throw new Error("BUG: nothing to prove yet")
    const versioned = `skein ${Greeting.PROTOCOL_MAJOR} ${label}`
    return Proof.create(this.#local.cookie, versioned, [hello, challenge, more])
  }

  /** The keys of the seals; undefined when there are to be none. */
  async keys(peer: Peer): Promise<Seal.Keys | undefined> {
    if (this.#local.cookie === undefined || peer.features.includes(SECURE)) return undefined
    const algorithm = peer.features.includes(GMAC) ? "gmac" : "siphash"
    return Seal.keys(await this.prove("seals"), this.#role, algorithm)
  }

  /** Throws unless `body` carries the proof of `role`. */
  async verify(role: Role, body: Uint8Array): Promise<void> {
    const given = Greeting.readProof(body)
    if (given === undefined) throw new Stop("us", "malformed", "not a proof")
    if (Proof.equal(given, await this.prove(role))) return
    throw new Stop("us", "authentication", "another cookie")
  }

  /** A refusal's body, proven where it has to be. */
  async refusal(refusal: Greeting.Refusal): Promise<Uint8Array> {
    const covered = Greeting.writeRefusal(refusal)
    if (UNPROVEN.has(refusal.reason)) return Greeting.sealRefusal(covered, Proof.none())
    return Greeting.sealRefusal(covered, await this.prove(`${this.#role} refuses`, covered))
  }

  /** What the other side's refusal means. */
  async #refused(body: Uint8Array): Promise<Stop> {
    const read = Greeting.readRefusal(body)
    if (read === undefined) return new Stop("us", "malformed", "not a refusal")
    const { reason, detail, epoch, instance } = read.refusal
    if (UNPROVEN.has(reason)) return new Stop("them", reason, detail)
    const from = this.#role === "dialler" ? "acceptor" : "dialler"
    const known = this.hello !== undefined && this.challenge !== undefined
    if (known && Proof.equal(read.proof, await this.prove(`${from} refuses`, read.covered))) {
      return new Stop("them", reason, detail, { epoch, instance })
    }
    return new Stop("them", "authentication", `a refusal without proof (${reason})`)
  }
}

function incompatible(identity: Identity): Stop {
  const ours = `${Greeting.PROTOCOL_MAJOR}.${identity.minor}`
  return new Stop("us", "version", `no version in common with ${ours}`)
}
