/**
 * Registrations that a number of members must agree to, so that of two at the same time only one succeeds,
 * also when the network is cut between them.
 *
 * Each member first keeps the name free for the node that asks, for a while; then the node enters the
 * name; then the members say that they have it from there. So a registration that has succeeded is known
 * to as many members as it takes, and any other one needs one of these.
 *
 * @module
 */
import * as Membership from "../../core/membership.ts"
import { AlreadyRegistered, NoQuorum } from "../errors.ts"
import type { Services } from "../functions/services.ts"
import type { Parts } from "../parts.ts"
import { shown } from "./lookup.ts"
import type { Reservations } from "./reservations.ts"

/** A registration that is voted on. */
export interface Motion {
  /** The additional name, as the registry has it. */
  readonly name: string
  /** How many members it takes; undefined for a majority of those that are known and haven't left. */
  readonly quorum: number | undefined
  readonly timeoutMillis: number
  /** Enters the name here; throws, or gives false, when that can't be. */
  readonly enter: () => boolean
  /** Takes it back. */
  readonly leave: () => void
}

/** The service by which a member is asked for its vote: the node that has the name, or the empty string. */
const VOTE = "$vote"
/** The service by which it is told that the name isn't needed any more. */
const WITHDRAW = "$withdraw"
/** A vote holds for five seconds at the member that gave it: it must all be over well before that. */
const TERM_MILLIS = 4_000
const AGAIN_MILLIS = 50

/** What came of asking all members. */
interface Poll {
  readonly got: number
  /** A node that has the name, or has it kept free, as one of them says. */
  readonly holder: string
}

/** The votes that this node gives and asks for. */
export class Votes {
  readonly #parts: Parts
  readonly #services: Services

  constructor(parts: Parts, reservations: Reservations, services: Services) {
    this.#parts = parts
    this.#services = services
    services.serve(VOTE, ({ from }, [name]) =>
      typeof name === "string" ? (reservations.here(name, from) ?? "") : undefined,
    )
    services.serve(WITHDRAW, ({ from }, [name]) => {
      // Only what is kept for that node.
      if (typeof name === "string" && reservations.here(name, from) === undefined)
        reservations.served(name)
    })
  }

  /**
   * Registers a name; false when `enter` gave that. Rejects with NoQuorum, AlreadyRegistered, NodeStopped,
   * or what `enter` throws.
   */
  async pass(motion: Motion): Promise<boolean> {
    const { name, enter, leave } = motion
    const { platform, name: self } = this.#parts
    const text = shown(name)
    const members = this.#members()
    const needed = motion.quorum ?? Math.floor(members.length / 2) + 1
    const term = Math.min(motion.timeoutMillis, TERM_MILLIS)
    const until = platform.now() + term
    const wallUntil = platform.wall() + term
    // The monotonic clock of a machine that was asleep doesn't tell: others' clocks went on.
    const late = (): boolean => platform.now() >= until || platform.wall() >= wallUntil
    try {
      const free = await this.#poll(name, members, needed, until, (holder) => holder === "")
      if (free.got < needed && free.holder !== "") throw new AlreadyRegistered(text, free.holder)
      if (free.got < needed || late()) throw new NoQuorum(text, needed, free.got)
      this.#running(text)
      if (!enter()) {
        this.withdraw(name, members)
        return false
      }
    } catch (error) {
      this.withdraw(name, members)
      throw error
    }
    // On each link ahead of the question whether it has come.
    this.#parts.driver.input({ _tag: "Flush", now: platform.now() })
    let got = 0
    while (!late()) {
      got = (await this.#poll(name, members, needed, until, (holder) => holder === self)).got
      this.#running(text)
      if (got >= needed && !late()) return true
      await new Promise<void>((resolve) => void platform.timer(AGAIN_MILLIS, resolve))
    }
    leave()
    this.withdraw(name, members)
    throw new NoQuorum(text, needed, got)
  }

  #members(): ReadonlyArray<string> {
    const members = Membership.members(this.#parts.core.membership)
    return members.filter(({ status }) => status !== "left").map(({ name }) => name)
  }

  /** Asks all members; resolves when enough have given the answer that counts, or no other can come. */
  #poll(
    name: string,
    members: ReadonlyArray<string>,
    needed: number,
    until: number,
    counts: (holder: string) => boolean,
  ): Promise<Poll> {
    const { platform } = this.#parts
    return new Promise((resolve) => {
      let got = 0
      let left = members.length
      let holder = ""
      const end = (): void => {
        cancel()
        resolve({ got, holder })
      }
      const cancel = platform.timer(until - platform.now(), end)
      const answered = (answer: unknown): void => {
        left--
        if (typeof answer === "string" && counts(answer)) got++
        else if (typeof answer === "string") holder = answer
        if (got >= needed || left === 0) end()
      }
      for (const member of members) {
        this.#services
          .request(member, VOTE, [name], { timeout: TERM_MILLIS })
          .then(answered, () => answered(undefined))
      }
    })
  }

  /** Tells members that this node doesn't need the name any more that they keep for it. */
  withdraw(name: string, members: ReadonlyArray<string>): void {
    for (const member of members) {
      try {
        this.#services.cast(member, WITHDRAW, [name])
      } catch {
        // Who can't be told forgets it soon.
      }
    }
  }

  #running(text: string): void {
    const stopped = this.#parts.stopped(text)
    if (stopped !== undefined) throw stopped
  }
}
