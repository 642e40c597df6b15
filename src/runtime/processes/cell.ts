/**
 * A live process as its node sees it: a small record with its state and a mailbox, and no fiber. The
 * record is at the same time the `self` that handlers get.
 *
 * @module
 */

import type { Key } from "../../core/key.ts"
import type { Intensity } from "../../core/restart.ts"
import type { AnyDefinition, Joining, Method, Ref, Self } from "../definition.ts"

/** Its state is being made. */
export const STARTING = 0
/** It waits for messages. */
export const IDLE = 1
/** It has messages, and waits for its turn. */
export const READY = 2
/** A handler is on the stack. */
export const RUNNING = 3
/** A handler's promise or Effect is under way. */
export const BUSY = 4
/** It is being moved: messages wait. */
export const FROZEN = 5
/** It is gone from this node. */
export const STOPPED = 6
/** What a process is doing; one of the constants above. */
export type Status = 0 | 1 | 2 | 3 | 4 | 5 | 6

/** Where the outcome of a call goes. */
export interface Reply {
  succeed(value: unknown): void
  fail(error: unknown): void
}

/** A message in a mailbox. `reply` is undefined for casts. `method` undefined: dropped by its caller. */
export interface Mail {
  method: Method | undefined
  readonly args: ReadonlyArray<unknown>
  readonly reply: Reply | undefined
  next: Mail | undefined
}

/** A timer set by `self.after`. */
export interface Timer {
  readonly at: number
  readonly method: string
  readonly args: ReadonlyArray<unknown>
  cancel: () => void
}

/** What only few processes need. */
export interface Extra {
  controller: AbortController | undefined
  timers: Set<Timer> | undefined
  /** Times of recent restarts, for the restart intensity. */
  history: ReadonlyArray<number>
  /** Interrupts the Effect under way. */
  interrupt: (() => void) | undefined
  /** Why it is to end once the message in hand is finished. */
  stopping: Stopping | undefined
  /** Called when it is at rest for its move. */
  atRest: (() => void) | undefined
}

/** Why a process is to end; `final`: whatever its restart type is. */
export interface Stopping {
  readonly reason: string
  readonly final: boolean
}

/** What a process needs from the node around it. */
export interface Host {
  readonly node: string
  after(cell: Cell, millis: number, method: string, args: ReadonlyArray<unknown>): () => void
  join(cell: Cell, group: Key, options: Joining): void
  leave(cell: Cell, group: Key): boolean
  ref<P extends AnyDefinition>(definition: P, key: Key): Ref<P>
  stopSelf(cell: Cell, reason: string): void
  /** A state that lost its name could not be merged. */
  mergeFailed(cell: Cell): void
}

/** A definition as hosted by a node. */
export interface Hosted {
  readonly definition: AnyDefinition
  readonly host: Host
  readonly mailboxMax: number
  readonly intensity: Intensity
}

/** One process. */
export class Cell implements Self<unknown> {
  state: unknown = undefined
  readonly hosted: Hosted
  /** The registered name: definition, slash, key, perhaps with its supervisor in front. */
  readonly name: string
  readonly pid: number
  /** Generation it serves under; see the registry. */
  generation: number
  status: Status = STARTING
  queued = 0
  head: Mail | undefined = undefined
  tail: Mail | undefined = undefined
  /** What it was started with, encoded: what a takeover starts it with again. */
  readonly meta: Uint8Array | undefined
  extra: Extra | undefined = undefined

  constructor(
    hosted: Hosted,
    name: string,
    pid: number,
    generation: number,
    meta: Uint8Array | undefined,
  ) {
    this.hosted = hosted
    this.name = name
    this.pid = pid
    this.generation = generation
    this.meta = meta
  }

  get key(): string {
    return this.name.slice(this.name.indexOf("/") + 1)
  }

  get node(): string {
    return this.hosted.host.node
  }

  get signal(): AbortSignal {
    const extra = more(this)
    extra.controller ??= new AbortController()
    return extra.controller.signal
  }

  after(millis: number, method: string, ...args: ReadonlyArray<unknown>): () => void {
    return this.hosted.host.after(this, millis, method, args)
  }

  join(group: Key, options: Joining = {}): void {
    this.hosted.host.join(this, group, options)
  }

  leave(group: Key): boolean {
    return this.hosted.host.leave(this, group)
  }

  ref<P extends AnyDefinition>(definition: P, key: Key): Ref<P> {
    return this.hosted.host.ref(definition, key)
  }

  stop(reason = "normal"): void {
    this.hosted.host.stopSelf(this, reason)
  }
}

/** The process's extra part, made when first needed. */
export function more(cell: Cell): Extra {
  cell.extra ??= {
    controller: undefined,
    timers: undefined,
    history: [],
    interrupt: undefined,
    stopping: undefined,
    atRest: undefined,
  }
  return cell.extra
}

/** Puts a message at the end of the mailbox. */
export function push(cell: Cell, mail: Mail): void {
  if (cell.tail === undefined) cell.head = mail
  else cell.tail.next = mail
  cell.tail = mail
  cell.queued++
}

/** Takes the first message out of the mailbox. */
export function shift(cell: Cell): Mail | undefined {
  const mail = cell.head
  if (mail === undefined) return undefined
  cell.head = mail.next
  if (cell.head === undefined) cell.tail = undefined
  cell.queued--
  return mail
}

/** Empties the mailbox. */
export function take(cell: Cell): Array<Mail> {
  const mails: Array<Mail> = []
  for (let mail = shift(cell); mail !== undefined; mail = shift(cell)) mails.push(mail)
  return mails
}

/** Takes a message back from the mailbox; false when it isn't there any more. O(messages waiting). */
export function withdraw(cell: Cell, mail: Mail): boolean {
  for (let at = cell.head; at !== undefined; at = at.next) {
    if (at !== mail) continue
    at.method = undefined
    return true
  }
  return false
}
