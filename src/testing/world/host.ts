/**
 * A machine with one program on it: the program starts, stands still, ends; the machine may be gone with
 * it. Everything that is to happen in a program passes through here, so that a program which stands still
 * or has ended does nothing.
 *
 * @module
 */
import * as Chance from "./chance.ts"
import { Clock } from "./clock.ts"
import type { Job, Place, World } from "./world.ts"

const LATE = Chance.purpose("timer")
const ORDER = Chance.purpose("resume")

/** How much older a stale incarnation is than the one before. */
const STALE_MICROS = 1_000_000

/** How late timers may be. */
export const LATE_MICROS_MAX = 1_000

interface Held {
  readonly timer: boolean
  readonly run: () => void
}

/** One host of a world. */
export class Host implements Place {
  readonly world: World
  readonly index: number
  readonly name: string
  readonly clock: Clock = new Clock()
  /** How many programs were started here. */
  incarnation: number = 0
  /** Whether the program runs. */
  running: boolean = false
  /** Whether the machine is there: a dead program's host answers for it, a dead machine doesn't. */
  reachable: boolean = true
  /** Timers are late to the next multiple of this; 0 for not. A hidden browser tab has 1 s or 60 s. */
  throttleMicros: number = 0
  /** How many times as long as usual messages take, and how many times as late timers are. */
  slowness: number = 1
  #pauses = 0
  #held: Array<Held> = []
  #timers = 0
  /** What the wall clock said when the last program started. */
  #bornWall = 0
  #resumes = 0

  constructor(world: World, name: string) {
    this.world = world
    this.name = name
    this.index = world.add(name)
  }

  /** Whether the program stands still. */
  get paused(): boolean {
    return this.#pauses > 0
  }

  /** Whether the program runs and doesn't stand still. */
  get awake(): boolean {
    return this.running && this.#pauses === 0
  }

  /**
   * A program starts. `stale`: after the wall clock was set back to before the last start. Epochs come from
   * that clock, so the program seems to be an older incarnation than the one before.
   */
  start(stale: boolean = false): void {
    const { world, clock } = this
    if (stale && this.incarnation > 0)
      clock.step(world.now, this.#bornWall - STALE_MICROS - clock.wall(world.now))
    this.#bornWall = clock.wall(world.now)
    this.incarnation++
    this.running = true
    this.reachable = true
    this.#held = []
    this.#timers = 0
    this.life("start")
  }

  /** The program ends: nothing that it had to do happens any more. */
  end(what: string): void {
    if (!this.running) return
    this.running = false
    this.#held = []
    this.life(what)
  }

  /** Notes a turn in this host's life. */
  life(what: string): void {
    this.world.trace.mix(this.index, this.incarnation, this.world.now)
    this.world.trace.mixText(what)
    this.world.record(() => ({ kind: "life", node: this.index, what }))
  }

  /** Something comes from outside: done now, or once the program goes on, or not any more. */
  io(run: () => void): void {
    this.#do(this.incarnation, false, run)
  }

  /** The same `micros` from now. */
  soon(micros: number, run: () => void): Job {
    const { incarnation } = this
    return this.world.later(micros, () => this.#do(incarnation, false, run))
  }

  /** Sets a timer of the program, in its own time; the result cancels it. */
  timer(micros: number, run: () => void): () => void {
    const { world, incarnation, index, clock } = this
    const n = this.#timers++
    const late = world.below(LATE, index, incarnation, n, LATE_MICROS_MAX * this.slowness)
    const due = clock.mono(world.now) + Math.floor(Math.max(0, micros))
    let live = true
    let job: Job
    const fire = (): void => {
      if (!live) return
      // The clock stood still or got slower in the meantime: it isn't time yet.
      const missing = due - clock.mono(world.now)
      if (missing > 0) return set(missing)
      live = false
      world.trace.mix(index, n, world.now)
      if (world.trace.keeps) world.record(() => ({ kind: "timer", node: index }))
      else world.note()
      run()
    }
    const set = (wait: number): void => {
      const at = this.#throttled(world.now + Math.ceil(clock.stretch(wait) + late))
      job = world.at(at, () => this.#do(incarnation, true, fire))
    }
    set(Math.max(0, micros))
    return () => {
      live = false
      job.run = undefined
    }
  }

  #throttled(at: number): number {
    const every = this.throttleMicros
    return every === 0 ? at : Math.ceil(at / every) * every
  }

  /** Lets the program stand still. */
  pause(what: string = "pause"): void {
    this.#pauses++
    if (this.#pauses === 1 && this.running) this.life(what)
  }

  /** Lets the program go on: its host decides whether overdue timers or what has come is first. */
  resume(what: string = "resume"): void {
    if (this.#pauses === 0) return
    this.#pauses--
    if (this.#pauses > 0 || !this.running) return
    this.life(what)
    const held = this.#held
    this.#held = []
    const timersFirst = this.world.below(ORDER, this.index, this.#resumes++, 0, 2) === 0
    const first = held.filter(({ timer }) => timer === timersFirst)
    const then = held.filter(({ timer }) => timer !== timersFirst)
    const { incarnation } = this
    for (const { timer, run } of [...first, ...then])
      this.world.later(0, () => this.#do(incarnation, timer, run))
  }

  #do(incarnation: number, timer: boolean, run: () => void): void {
    if (!this.running || this.incarnation !== incarnation) return
    if (this.#pauses > 0) {
      this.#held.push({ timer, run })
      return
    }
    // Left so until the next thing happens: what the program queued as microtasks is its own, too.
    this.world.current = this
    run()
  }
}

/** Names of nodes: a, b, c …, and n26, n27 … after z. */
export function nameOf(index: number): string {
  return index < 26 ? String.fromCharCode(97 + index) : `n${index}`
}
