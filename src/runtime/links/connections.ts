/**
 * The connections that a user asks for: addresses that are dialled for as long as the node runs, and
 * members that are parted with. When to dial is the core's to know; here is what is asked and told.
 *
 * @module
 */
import * as Contact from "../../core/contact.ts"
import * as Parting from "../../core/parting.ts"
import { Aborted, NodeStopped, Overloaded } from "../errors.ts"
import type { Parts } from "../parts.ts"
import { ConnectFailed, type ConnectFailure, DuplicateAddress, UnknownNode } from "../rejections.ts"
import type { Link } from "./link.ts"
import type { DialFailure } from "./links.ts"

export type { Listed } from "../../core/contact.ts"

/** How long {@link Connections.connect} waits. */
export interface ConnectOptions {
  /** Milliseconds until it fails; the addresses are tried for ever all the same. Default 5,000. */
  readonly timeout?: number
  /** Gives up waiting, and forgets the addresses that aren't joined by then. */
  readonly signal?: AbortSignal
}

const TIMEOUT_MILLIS = 5_000
/** Nodes' names aren't longer. */
const NAME_LENGTH_MAX = 64

/** Refusals that another attempt soon won't change: there is no point in waiting for it. */
const VERDICTS = new Set<string>(["version", "cluster", "authentication", "full", "banned"])

/** What is known of an address that could not be connected lately. */
interface Failure {
  readonly reason: string
  /** Failed attempts in a row. */
  readonly attempts: number
}

/** A call of `connect` that waits. */
interface Joining {
  readonly addresses: ReadonlyArray<string>
  readonly end: (error?: Error) => void
}

/** What one node's user has asked for. */
export class Connections {
  readonly #parts: Parts
  /** Addresses that the user has asked for, other than at birth. */
  readonly #asked = new Set<string>()
  /** Addresses that discovery gives. */
  readonly #found = new Set<string>()
  /** Why handshakes that the user should know of were refused, until their dials are over. */
  readonly #refusals = new Map<string, string>()
  readonly #failures = new Map<string, Failure>()
  readonly #joinings = new Set<Joining>()
  /** Links that end as their peers were parted with, and who waits for that. */
  readonly #partings = new Map<Link, () => void>()

  constructor(parts: Parts) {
    this.#parts = parts
  }

  /** What is listed to be connected, with what was given at birth and found, and how it stands. */
  list(): ReadonlyArray<Contact.Listed> {
    return Contact.list(this.#parts.core.membership)
  }

  // --- connecting --------------------------------------------------------------------------------

  /**
   * Adds addresses to those that are dialled for as long as the node runs; resolves when all are members.
   * All or nothing: when one of them can't be added, none is.
   *
   * Rejects with TypeError (malformed), DuplicateAddress or Overloaded (too many), and nothing is dialled;
   * with ConnectFailed when some aren't joined within `timeout`, or refused us; with Aborted; with
   * NodeStopped once the node leaves or stops.
   */
  async connect(
    address: string | ReadonlyArray<string>,
    { timeout = TIMEOUT_MILLIS, signal }: ConnectOptions = {},
  ): Promise<void> {
    const addresses = texts(address, "address", Contact.ADDRESS_LENGTH_MAX)
    if (typeof timeout !== "number" || !(timeout >= 0)) {
      throw new TypeError(`timeout is a number of milliseconds, got ${String(timeout)}`)
    }
    const { name, driver, platform } = this.#parts
    this.#check(addresses)
    if (signal?.aborted) throw new Aborted(name, "connect", "not-executed")
    for (const one of addresses) {
      this.#asked.add(one)
      this.#failures.delete(one)
    }
    const joined = this.#join(addresses, timeout, signal)
    driver.input({ _tag: "Connect", now: platform.now(), addresses })
    this.#look()
    await joined
  }

  /** Throws unless all of them can be added. */
  #check(addresses: ReadonlyArray<string>): void {
    const { name, core } = this.#parts
    const { self, options, seeds } = core.membership
    const stopped = this.#parts.stopped("connect")
    if (stopped !== undefined) throw stopped
    if (self.phase === "leaving") throw new NodeStopped("connect", name)
    const seen = new Set<string>()
    for (const address of addresses) {
      const reason = this.#duplicate(address, seen, options.seeds)
      if (reason !== undefined) throw new DuplicateAddress(address, reason)
      seen.add(address)
    }
    const more = addresses.filter((address) => !seeds.has(address)).length
    if (seeds.size + more > Contact.ADDRESSES_MAX) {
      throw new Overloaded("connect", "addresses", Contact.ADDRESSES_MAX)
    }
  }

  #duplicate(
    address: string,
    seen: ReadonlySet<string>,
    born: ReadonlyArray<string>,
  ): DuplicateAddress["reason"] | undefined {
    const { membership } = this.#parts.core
    if (seen.has(address)) return "twice"
    if (Contact.own(membership, address)) return "own"
    if (Contact.partedAt(membership, address) !== undefined) return undefined
    const node = Contact.nodeAt(membership, address)
    if (node !== undefined && membership.links.has(node)) return "connected"
    return this.#asked.has(address) || born.includes(address) ? "listed" : undefined
  }

  #join(
    addresses: ReadonlyArray<string>,
    timeout: number,
    signal: AbortSignal | undefined,
  ): Promise<void> {
    const { name, events, platform } = this.#parts
    return new Promise((resolve, reject) => {
      const late = (): void => joining.end(this.#failed(joining))
      const abort = (): void => {
        const missing = addresses.filter((address) => !this.#joined(address))
        for (const address of missing) this.#asked.delete(address)
        this.#forget(missing)
        joining.end(new Aborted(name, "connect", "unknown"))
      }
      const cancel = Number.isFinite(timeout) ? platform.timer(timeout, late) : () => {}
      const unwatch = events.watch(({ _tag }) => {
        if (_tag.startsWith("Member")) this.#look()
      })
      const end = (error?: Error): void => {
        if (!this.#joinings.delete(joining)) return
        cancel()
        unwatch()
        signal?.removeEventListener("abort", abort)
        if (error === undefined) resolve()
        else reject(error)
      }
      const joining: Joining = { addresses, end }
      this.#joinings.add(joining)
      signal?.addEventListener("abort", abort)
    })
  }

  /** Ends the calls that have nothing to wait for any more. */
  #look(): void {
    for (const joining of [...this.#joinings]) {
      const missing = joining.addresses.filter((address) => !this.#joined(address))
      if (missing.length === 0) joining.end()
      else if (missing.every((address) => this.#verdict(address) !== undefined)) {
        joining.end(this.#failed(joining))
      }
    }
  }

  #joined(address: string): boolean {
    const { membership } = this.#parts.core
    const node = Contact.nodeAt(membership, address)
    if (node === undefined || !membership.links.has(node)) return false
    return membership.peers.get(node)?.up === true
  }

  /** Why there is no point in waiting for the address; undefined when there is. */
  #verdict(address: string): string | undefined {
    const { membership } = this.#parts.core
    if (Contact.own(membership, address)) return "self"
    if (Contact.partedAt(membership, address) !== undefined) return "disconnected"
    const reason = this.#failures.get(address)?.reason
    return reason !== undefined && VERDICTS.has(reason) ? reason : undefined
  }

  #failed({ addresses }: Joining): ConnectFailed {
    const failures = addresses
      .filter((address) => !this.#joined(address))
      .map((address): ConnectFailure => {
        const reason = this.#verdict(address) ?? this.#failures.get(address)?.reason ?? "timeout"
        return { address, reason }
      })
    return new ConnectFailed(failures as [ConnectFailure, ...Array<ConnectFailure>])
  }

  // --- parting -----------------------------------------------------------------------------------

  /**
   * Parts with members, until `connect` is called for their addresses, here or there: whatever else leads
   * to them is left alone meanwhile. Resolves when they are down here and their links have ended. All or
   * nothing: rejects with TypeError (malformed) or UnknownNode, and nobody is parted with.
   */
  async disconnect(name: string | ReadonlyArray<string>): Promise<void> {
    const names = new Set(texts(name, "name", NAME_LENGTH_MAX))
    const { core, driver, links, platform } = this.#parts
    const stopped = this.#parts.stopped("disconnect")
    if (stopped !== undefined) throw stopped
    for (const peer of names) {
      if (!Parting.parts(core.membership, peer)) throw new UnknownNode(peer)
    }
    const ended: Array<Promise<void>> = []
    for (const peer of names) {
      const link = links.get(peer)
      if (link !== undefined) ended.push(this.#ended(link))
      driver.input({ _tag: "Disconnect", now: platform.now(), peer })
    }
    this.#look()
    await Promise.all(ended)
  }

  #ended(link: Link): Promise<void> {
    return new Promise((resolve) => {
      const before = this.#partings.get(link)
      this.#partings.set(link, () => {
        before?.()
        resolve()
      })
    })
  }

  // --- discovery ---------------------------------------------------------------------------------

  /**
   * Discovery gives these addresses, which it didn't before: they are dialled until {@link lost}. Members
   * that were parted with stay so. What isn't an address, or is too much, is left out.
   */
  found(addresses: ReadonlyArray<string>): void {
    const { core, driver, platform } = this.#parts
    const { seeds } = core.membership
    let room = Contact.ADDRESSES_MAX - seeds.size
    const given: Array<string> = []
    for (const address of new Set(addresses)) {
      if (!isText(address, Contact.ADDRESS_LENGTH_MAX)) continue
      if (!seeds.has(address) && --room < 0) continue
      this.#found.add(address)
      given.push(address)
    }
    driver.input({ _tag: "Discovered", now: platform.now(), addresses: given })
  }

  /** Discovery gives these no more: those that nobody else wants are dialled no more, once nobody lives there. */
  lost(addresses: ReadonlyArray<string>): void {
    for (const address of addresses) this.#found.delete(address)
    this.#forget(addresses)
  }

  /** Forgets those of them that nobody wants. */
  #forget(given: ReadonlyArray<string>): void {
    const { driver, platform } = this.#parts
    const addresses = given.filter(
      (address) => !this.#asked.has(address) && !this.#found.has(address),
    )
    for (const address of addresses) this.#failures.delete(address)
    driver.input({ _tag: "Forget", now: platform.now(), addresses })
  }

  // --- what happens ------------------------------------------------------------------------------

  /** There is a link to a peer; the core knows of it. */
  linkUp(link: Link): void {
    const { membership } = this.#parts.core
    for (const address of this.#failures.keys()) {
      if (Contact.realOf(membership, address) === link.peer.address) this.#failures.delete(address)
    }
    this.#look()
  }

  /** A link has ended. */
  linkDown(link: Link): void {
    this.#partings.get(link)?.()
    this.#partings.delete(link)
  }

  /** A handshake with who is at the address was refused, for this reason. */
  refused(address: string, reason: string): void {
    if (this.#parts.core.membership.dials.has(address)) this.#refusals.set(address, reason)
  }

  /** A dial of the address came to nothing; the core knows of it. */
  dialFailed(address: string, failure: DialFailure): void {
    const { core, events } = this.#parts
    const refusal = this.#refusals.get(address)
    this.#refusals.delete(address)
    if (failure === "self" || failure === "duplicate") {
      // Somebody is there.
      this.#failures.delete(address)
      if (failure === "self") this.#asked.delete(address)
    } else if (core.membership.seeds.has(address)) {
      const reason = failure === "rejected" ? (refusal ?? failure) : failure
      const attempts = (this.#failures.get(address)?.attempts ?? 0) + 1
      this.#failures.set(address, { reason, attempts })
      events.emit({ _tag: "ConnectionFailed", address, reason, attempts })
    }
    this.#look()
  }

  /** The node ends: nobody waits any more. */
  close(): void {
    const { name } = this.#parts
    for (const { end } of [...this.#joinings]) end(new NodeStopped("connect", name, "unknown"))
    for (const ended of this.#partings.values()) ended()
    this.#partings.clear()
  }
}

/** One text or several, each of at most `lengthMax` characters. */
function texts(
  given: string | ReadonlyArray<string>,
  what: string,
  lengthMax: number,
): ReadonlyArray<string> {
  const list: unknown = typeof given === "string" ? [given] : given
  if (!Array.isArray(list))
    throw new TypeError(`expected one ${what} or a list, got ${String(given)}`)
  for (const one of list) {
    if (isText(one, lengthMax)) continue
    const shown = typeof one === "string" ? `${one.length} characters` : String(one)
    throw new TypeError(`${what}: expected 1 to ${lengthMax} characters of text, got ${shown}`)
  }
  return [...list]
}

function isText(given: unknown, lengthMax: number): given is string {
  return typeof given === "string" && given.length > 0 && given.length <= lengthMax
}
