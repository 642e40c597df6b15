/**
 * All programs of the demonstration, what their nodes saw, and waiting for what they are to say. They
 * end with this program, however it ends.
 *
 * @module
 */
import process from "node:process"
import { createInterface } from "node:readline"
import type { NodeEvent } from "skein"
import type { Report } from "./node.ts"
import { Program, WAIT_MILLIS_MAX } from "./program.ts"

/** Something that a node saw. */
export interface Sighting {
  /** Date.now() */
  readonly at: number
  /** The node that saw it. */
  readonly by: string
  readonly event: NodeEvent
}

interface Waiting {
  readonly look: () => void
  readonly reject: (error: Error) => void
}

/** The programs, in the order of their start. */
export class Fleet {
  readonly programs: Array<Program> = []
  readonly sightings: Array<Sighting> = []
  readonly #saw: (sighting: Sighting) => void
  readonly #waiting = new Set<Waiting>()
  readonly #cookie: string = crypto.randomUUID()
  #failure: Error | undefined

  /** `saw` is told of every event of every node. */
  constructor(saw: (sighting: Sighting) => void) {
    this.#saw = saw
    process.on("exit", () => this.end())
  }

  /** The programs that run. */
  get running(): ReadonlyArray<Program> {
    return this.programs.filter(({ condition }) => condition === "running")
  }

  /** Starts a program. */
  launch(name: string): Program {
    const one = new Program(name, this.#cookie)
    this.programs.push(one)
    const { stdout } = one.child
    if (stdout === null) throw new Error("BUG: the program has no output")
    createInterface({ input: stdout }).on("line", (line) => this.#hear(one, JSON.parse(line)))
    one.child.on("error", (error) => this.fail(error))
    one.child.on("exit", () => {
      if (one.condition === "killed" || one.condition === "gone") return
      this.fail(new Error(`the program of ${name} ended by itself`))
    })
    return one
  }

  #hear(one: Program, report: Report): void {
    if (report._tag === "Event") {
      const sighting = { at: report.at, by: one.name, event: report.event }
      this.sightings.push(sighting)
      this.#saw(sighting)
    } else one.hear(report)
    for (const { look } of [...this.#waiting]) look()
  }

  /** Waits until `look` finds something; it looks again whenever a program says something. */
  until<T>(what: string | (() => string), look: () => T | undefined): Promise<T> {
    return new Promise((resolve, reject) => {
      const settle = (done: () => void): void => {
        clearTimeout(timer)
        this.#waiting.delete(waiting)
        done()
      }
      const waiting: Waiting = {
        look: () => {
          const found = look()
          if (found !== undefined) settle(() => resolve(found))
        },
        reject: (error) => settle(() => reject(error)),
      }
      const timer = setTimeout(() => {
        const missing = typeof what === "string" ? what : what()
        waiting.reject(new Error(`waited ${WAIT_MILLIS_MAX / 1000} s in vain for ${missing}`))
      }, WAIT_MILLIS_MAX)
      this.#waiting.add(waiting)
      if (this.#failure !== undefined) waiting.reject(this.#failure)
      else waiting.look()
    })
  }

  /** Gives up everything that is waited for. */
  fail(error: Error): void {
    this.#failure ??= error
    for (const { reject } of [...this.#waiting]) reject(error)
    for (const one of this.programs) one.fail(error)
  }

  /** Ends all programs at once. */
  end(): void {
    for (const one of this.programs) one.end()
  }
}
