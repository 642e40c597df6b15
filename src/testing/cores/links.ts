/**
 * The links of one simulated machine: dials, the handshake, and one link per peer whoever dialled. The
 * verdicts are those of `src/runtime/links/links.ts`; only bytes, proofs and versions are left out.
 *
 * @module
 */
import type { Host } from "../world/host.ts"
import type { Network } from "../world/network.ts"
import type { End, Reason, Receiver } from "../world/stream.ts"

/** What travels between machines: an object that nobody changes, of a kind. */
export interface Letter {
  readonly _tag: string
}

/** Who a machine is, as its handshake says. */
export interface Identity {
  readonly name: string
  readonly address: string
  readonly epoch: number
  readonly instance: number
}

/** Why a dial didn't lead to a link; see `src/runtime/links/links.ts`. */
export type Failure = "refused" | "unreachable" | "timeout" | "rejected" | "self" | "duplicate"

/** What the links need of their machine, and what they tell it. */
export interface Owner {
  readonly host: Host
  readonly network: Network<Letter>
  /** Monotonic milliseconds. */
  readonly now: number
  readonly identity: Identity
  /** The epoch of the youngest instance of this name that is known; 0 for none. */
  epochOf(name: string): number
  up(link: Link): void
  down(link: Link, reason: "closed" | "reset"): void
  undialled(address: string, reason: Failure): void
  superseded(epoch: number, instance: number): void
  receive(link: Link, letter: Letter): void
}

/** How long a connection may take to come about, and then its handshake, in microseconds. */
export const DIAL_MICROS: number = 5_000_000

/** A link on which nothing came for this long gives way to one that its peer dials. */
const SILENT_MILLIS = 3_000

/** About as many bytes as a frame has. */
const LETTER_BYTES = 64

type Refusal = {
  readonly _tag: "Refusal"
  readonly reason: "self" | "duplicate" | "superseded" | "name-conflict" | "timeout"
  readonly epoch?: number
  readonly instance?: number
}

/** The words of a handshake: those of `src/wire/handshake.ts`. */
type Word =
  | { readonly _tag: "Hello"; readonly who: Identity }
  | { readonly _tag: "Challenge"; readonly who: Identity }
  | { readonly _tag: "Proof" }
  | { readonly _tag: "Welcome" }
  | Refusal

/** One connection, from its first word on. A link once the handshake is done. */
export class Link implements Receiver<Letter> {
  /** Who is on the other side, as far as it has said. */
  peer: Identity | undefined
  readonly initiator: "us" | "them"
  /** The address that was dialled, or nothing. */
  readonly address: string
  /** Whether the handshake is done and the link stands. */
  open = false
  /** Letters that were sent over it. */
  sent = 0
  /** When something last came, by the machine's own clock. */
  readAt: number
  readonly #links: Links
  readonly #end: End<Letter>
  /** Letters that overtook the welcome, where that can be. */
  readonly #early: Array<Letter> = []
  /** Set while the handshake is going on: ends the time that it has. */
  #cancel: (() => void) | undefined

  /** Made by {@link Links}. */
  constructor(
    links: Links,
    end: End<Letter>,
    initiator: "us" | "them",
    address: string,
    peer: Identity | undefined = undefined,
  ) {
    this.#links = links
    this.#end = end
    this.initiator = initiator
    this.address = address
    this.readAt = links.owner.now
    if (peer !== undefined) {
      this.peer = peer
      this.open = true
      end.receive(this)
      return
    }
    this.#cancel = links.owner.host.timer(DIAL_MICROS, () => this.#refuse({ reason: "timeout" }))
    end.receive(this)
    if (initiator === "us") this.#say({ _tag: "Hello", who: links.owner.identity })
  }

  /** Sends a letter. */
  send(letter: Letter): void {
    if (!this.open) return
    this.sent++
    this.#end.send(letter, LETTER_BYTES, whatOf(letter._tag))
  }

  #say(word: Word): void {
    this.#end.send(word, LETTER_BYTES, whatOf(word._tag))
  }

  data(letter: Letter): void {
    const { owner } = this.#links
    this.readAt = owner.now
    if (this.open) owner.receive(this, letter)
    else if (this.#cancel !== undefined) this.#hear(letter as Word)
  }

  drain(): void {}

  close(reason: Reason): void {
    if (this.#cancel !== undefined) this.#fail("unreachable")
    else this.#ended(reason === "ended" ? "closed" : "reset")
  }

  #hear(word: Word): void {
    switch (word._tag) {
      case "Hello":
        this.peer = word.who
        return this.#say({ _tag: "Challenge", who: this.#links.owner.identity })
      case "Challenge":
        this.peer = word.who
        return this.#judge() ? this.#say({ _tag: "Proof" }) : undefined
      case "Proof":
        if (!this.#judge()) return
        this.#say({ _tag: "Welcome" })
        return this.#establish()
      case "Welcome":
        return this.#establish()
      case "Refusal":
        return this.#refused(word)
      default:
        this.#early.push(word)
    }
  }

  /** Whether this side wants the link; else it says why not. */
  #judge(): boolean {
    const refusal = this.#links.judge(this)
    if (refusal !== undefined) this.#refuse(refusal)
    return refusal === undefined
  }

  #establish(): void {
    this.#stop()
    this.open = this.#links.establish(this)
    if (!this.open) return this.#end.destroy()
    const { owner } = this.#links
    owner.up(this)
    for (const letter of this.#early.splice(0)) if (this.open) owner.receive(this, letter)
  }

  #refuse(refusal: Omit<Refusal, "_tag">): void {
    this.#say({ _tag: "Refusal", ...refusal })
    this.#end.close()
    this.#fail(failureOf(refusal.reason))
  }

  #refused({ reason, epoch, instance }: Refusal): void {
    this.#end.destroy()
    const named = reason === "name-conflict" || reason === "superseded"
    this.#stop()
    if (named && epoch !== undefined) this.#links.owner.superseded(epoch, instance ?? 0)
    this.#fail(failureOf(reason))
  }

  #fail(reason: Failure): void {
    this.#stop()
    if (this.initiator === "us") this.#links.failed(this.address, reason)
  }

  #stop(): void {
    this.#cancel?.()
    this.#cancel = undefined
  }

  /** Ends the link after what was sent. */
  shut(): void {
    this.#stop()
    this.#end.close()
    this.#ended("closed")
  }

  /** Ends the link at once. */
  destroy(): void {
    this.#end.destroy()
    this.#ended("reset")
  }

  #ended(reason: "closed" | "reset"): void {
    if (!this.open) return
    this.open = false
    this.#links.ended(this, reason)
  }
}

/** All links of one life of a machine. */
export class Links {
  readonly owner: Owner
  readonly #byName = new Map<string, Link>()
  /** Addresses being dialled, with the names of their machines where known. */
  readonly #dialling = new Map<string, string | undefined>()
  #unlisten: () => void = () => {}
  #closed = false

  constructor(owner: Owner) {
    this.owner = owner
  }

  /** How many links stand. */
  get size(): number {
    return this.#byName.size
  }

  /** The names of the peers that there is a link to. */
  get peers(): ReadonlyArray<string> {
    return [...this.#byName.keys()]
  }

  /** The addresses that are being dialled. */
  get dialling(): ReadonlyArray<string> {
    return [...this.#dialling.keys()]
  }

  /** The link to a peer. */
  get(name: string): Link | undefined {
    return this.#byName.get(name)
  }

  /** All links that stand. */
  all(): IterableIterator<Link> {
    return this.#byName.values()
  }

  /** Accepts connections from now on. */
  listen(): void {
    const { host, network, identity } = this.owner
    if (identity.address === "") return
    this.#unlisten = network.listen(host, identity.address, (end) => {
      if (this.#closed) end.destroy()
      else new Link(this, end, "them", "")
    })
  }

  /** Accepts no connections any more: who dials is refused. Links stay. */
  deafen(): void {
    this.#unlisten()
  }

  /** Tries to connect; ends in `up` or `undialled`, unless there is a link or a dial already. */
  dial(address: string, peer: string | undefined): void {
    if (this.#closed || this.#dialling.has(address)) return
    if (peer !== undefined && this.#byName.has(peer)) return
    const { host, network } = this.owner
    this.#dialling.set(address, peer)
    let waiting = true
    const cancel = host.timer(DIAL_MICROS, () => {
      waiting = false
      this.failed(address, "timeout")
    })
    network.dial(host, address, (end) => {
      if (waiting && !this.#closed) {
        waiting = false
        cancel()
        if (end === "refused") this.failed(address, "refused")
        else new Link(this, end, "us", address)
      } else if (end !== "refused") end.destroy()
    })
  }

  /** Takes a connection whose handshake is done. */
  adopt(end: End<Letter>, initiator: "us" | "them", peer: Identity): void {
    const link = new Link(this, end, initiator, peer.address, peer)
    this.#byName.set(peer.name, link)
    this.owner.up(link)
  }

  /** A dial came to nothing. */
  failed(address: string, reason: Failure): void {
    if (this.#dialling.delete(address) && !this.#closed) this.owner.undialled(address, reason)
  }

  /** What speaks against a link to who is on the other side. */
  judge({ peer, initiator }: Link): Omit<Refusal, "_tag"> | undefined {
    const { owner } = this
    const { name, epoch, instance } = owner.identity
    if (peer === undefined) throw new Error("BUG: nobody has said hello")
    if (peer.name === name) {
      if (peer.instance === instance) return { reason: "self" }
      return { reason: "name-conflict", epoch, instance }
    }
    const known = owner.epochOf(peer.name)
    if (known > peer.epoch) return { reason: "superseded", epoch: known }
    if (initiator === "them" && this.#duplicate(peer, name)) return { reason: "duplicate" }
    return undefined
  }

  /** Whether the peer's connection should give way to one of ours, so that one of two survives. */
  #duplicate(peer: Identity, self: string): boolean {
    const link = this.#byName.get(peer.name)
    // A peer that dials again has lost the link that it started itself.
    if (link !== undefined)
      return link.peer?.epoch === peer.epoch && link.initiator === "us" && this.#audible(link)
    if (peer.name < self) return false
    if (this.#dialling.has(peer.address)) return true
    for (const name of this.#dialling.values()) if (name === peer.name) return true
    return false
  }

  /** Whether something came lately: a peer that dials knows better of a link that is silent. */
  #audible(link: Link): boolean {
    return this.owner.now - link.readAt < SILENT_MILLIS
  }

  /** Makes a connection the link to its peer, unless the one before stays. */
  establish(link: Link): boolean {
    const { peer, initiator, address } = link
    if (initiator === "us") this.#dialling.delete(address)
    if (peer === undefined || this.#closed) return false
    const before = this.#byName.get(peer.name)
    if (before?.peer !== undefined) {
      const { epoch } = before.peer
      if (epoch > peer.epoch || (epoch === peer.epoch && this.#preferred(before, link)))
        return false
      before.destroy()
    }
    this.#byName.set(peer.name, link)
    return true
  }

  /** Two connections crossed: both sides keep the one that the lower name started. */
  #preferred(before: Link, { peer, initiator }: Link): boolean {
    if (before.initiator === initiator || peer === undefined) return false
    if (initiator === "them" && !this.#audible(before)) return false
    return before.initiator === (this.owner.identity.name < peer.name ? "us" : "them")
  }

  /** A link is over. */
  ended(link: Link, reason: "closed" | "reset"): void {
    const name = link.peer?.name ?? ""
    if (this.#byName.get(name) !== link) return
    this.#byName.delete(name)
    if (!this.#closed) this.owner.down(link, reason)
  }

  /** Ends all links after what was sent, and stops listening. */
  close(): void {
    this.#closed = true
    this.#unlisten()
    for (const link of [...this.#byName.values()]) link.shut()
    this.#dialling.clear()
  }
}

const whats = new Map<string, () => string>()

/** One function for all letters of a kind: there may be very many on their way. */
function whatOf(tag: string): () => string {
  const known = whats.get(tag)
  if (known !== undefined) return known
  const what = (): string => tag
  whats.set(tag, what)
  return what
}

function failureOf(reason: Refusal["reason"]): Failure {
  return reason === "self" || reason === "duplicate" ? reason : "rejected"
}
