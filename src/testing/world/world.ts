/**
 * The world of a simulation: virtual time, a queue of what is to happen, chances and a trace. It
 * knows nothing of what runs on its hosts.
 *
 * Time is an integer number of microseconds. What is due at the same time happens in the order in which
 * it was asked for, so a run depends on its seed and on what it is told, and on nothing else.
 *
 * @module
 */
import * as Chance from "./chance.ts"
import { type Happening, Trace } from "./trace.ts"

/** Something that is to happen. */
export interface Job {
  readonly at: number
  readonly order: number
  /** The event that led to it. */
  readonly by: number | undefined
  /** Undefined once it was taken back. */
  run: (() => void) | undefined
}

/** Whose code runs: one of the hosts. */
export interface Place {
  readonly index: number
  readonly name: string
}

/** How a world is made. */
export interface WorldOptions {
  readonly name: string
  readonly seed: number
  /** Whether the events of the trace are kept. */
  readonly keep?: boolean
}

/** One simulation's time, queue, chances and trace. */
export class World {
  /** Microseconds since the beginning. */
  now: number = 0
  readonly seed: number
  readonly trace: Trace
  /** The host whose code runs at this moment. */
  current: Place | undefined
  /** The event being carried out: the cause of what follows from it. */
  cause: number | undefined
  readonly #names: Array<string> = []
  readonly #jobs: Array<Job> = []
  #order = 0

  constructor(options: WorldOptions) {
    const { name, seed, keep = false } = options
    this.seed = seed >>> 0
    this.trace = new Trace({ name, seed: this.seed, nodes: this.#names }, keep)
  }

  /** The names of all hosts, by their index. */
  get names(): ReadonlyArray<string> {
    return this.#names
  }

  /** There is one more host; its index. */
  add(name: string): number {
    return this.#names.push(name) - 1
  }

  /** Does it `micros` from now, after what is to be done then already. */
  later(micros: number, run: () => void): Job {
    return this.at(this.now + Math.max(0, Math.ceil(micros)), run)
  }

  /** Does it at that time, or now when that has passed. */
  at(micros: number, run: () => void): Job {
    const at = Math.max(this.now, micros)
    const job: Job = { at, order: this.#order++, by: this.cause, run }
    push(this.#jobs, job)
    return job
  }

  /** When the next thing happens; undefined when nothing ever will. */
  next(): number | undefined {
    for (let job = this.#jobs[0]; job !== undefined; job = this.#jobs[0]) {
      if (job.run !== undefined) return job.at
      pop(this.#jobs)
    }
    return undefined
  }

  /** Lets the next thing happen; false when there is none, or none until `until`. */
  step(until: number = Number.POSITIVE_INFINITY): boolean {
    const next = this.next()
    if (next === undefined || next > until) return false
    const job = pop(this.#jobs) as Job
    this.now = job.at
    this.cause = job.by
    this.current = undefined
    const run = job.run as () => void
    job.run = undefined
    run()
    return true
  }

  /** Lets everything happen that happens until then, and makes it that time. For synchronous hosts. */
  run(until: number): void {
    while (this.step(until));
    this.now = Math.max(this.now, until)
  }

  /** A uint below `bound`: see `chance.ts`. */
  below(what: Chance.Purpose, a: number, b: number, n: number, bound: number): number {
    return Chance.below(this.seed, what, a, b, n, bound)
  }

  /** Whether something of so many parts per million happens: see `chance.ts`. */
  happens(what: Chance.Purpose, a: number, b: number, n: number, ppm: number): boolean {
    return Chance.happens(this.seed, what, a, b, n, ppm)
  }

  /** Counts an event where events aren't kept, as {@link World.record} does. */
  note(): void {
    this.cause = this.trace.tick()
  }

  /** Notes an event; what follows now follows from it. */
  record(event: () => Happening): number {
    const i = this.trace.add(this.now, this.cause, event)
    this.cause = i
    return i
  }
}

// --- a binary heap, by time and then by order ------------------------------------------------------

function push(jobs: Array<Job>, job: Job): void {
  let at = jobs.push(job) - 1
  while (at > 0) {
    const parent = (at - 1) >> 1
    if (!before(job, jobs[parent] as Job)) break
    jobs[at] = jobs[parent] as Job
    at = parent
  }
  jobs[at] = job
}

function pop(jobs: Array<Job>): Job | undefined {
  const first = jobs[0]
  const job = jobs.pop()
  if (job === undefined || jobs.length === 0) return first
  let at = 0
  for (;;) {
    let child = 2 * at + 1
    if (child >= jobs.length) break
    if (child + 1 < jobs.length && before(jobs[child + 1] as Job, jobs[child] as Job)) child++
    if (!before(jobs[child] as Job, job)) break
    jobs[at] = jobs[child] as Job
    at = child
  }
  jobs[at] = job
  return first
}

function before(a: Job, b: Job): boolean {
  return a.at < b.at || (a.at === b.at && a.order < b.order)
}
