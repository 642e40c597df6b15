/**
 * The programs that the demonstration starts, what they were last heard to say, and waiting for what
 * they are to say. They are ended with this one, however it ends.
 *
 * @module
 */
import { type ChildProcess, spawn } from "node:child_process"
import { createInterface } from "node:readline"
import { fileURLToPath } from "node:url"
import type { NodeEvent } from "skein"
import type { Orders, Report, View } from "./node.ts"

/** What was done to a program. */
export type Condition = "starting" | "running" | "frozen" | "killed" | "gone"

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

const WAIT_MILLIS_MAX = 60_000
const SAMPLES = 6
const program: URL = new URL(`node${import.meta.url.endsWith(".ts") ? ".ts" : ".js"}`, import.meta.url)

/** One of the programs: a node. */
export class Program {
  readonly name: string
  readonly process: ChildProcess
  condition: Condition = "starting"
  view: View | undefined
  /** The last views, for the rate of calls. */
  readonly samples: Array<View> = []
  readonly answers = new Map<number, (report: Extract<Report, { readonly id: number }>) => void>()
  #lastId = 0

  constructor(name: string, cookie: string) {
    this.name = name
    const path = fileURLToPath(program)
    const args = "Deno" in globalThis ? ["run", "--allow-all", "--no-check", path] : [path]
    this.process = spawn(process.execPath, args, {
      stdio: ["pipe", "pipe", "inherit"],
      env: { ...process.env, DEMO_COOKIE: cookie },
    })
  }

  /** Has the program do something; resolves to its answer. */
  ask<K extends keyof Orders>(order: K, ...args: Parameters<Orders[K]>): Promise<ReturnType<Orders[K]>> {
    const id = ++this.#lastId
    this.process.stdin?.write(`${JSON.stringify({ id, order, args })}\n`)
    return new Promise((resolve, reject) => {
      this.answers.set(id, (report) => {
        if (report._tag === "Done") resolve(report.value as ReturnType<Orders[K]>)
        else reject(new Error(`${this.name} could not ${order}: ${report.reason}`))
      })
    })
  }

  /** Sends the program a signal; `condition` is what that makes of it. */
  signal(signal: "SIGKILL" | "SIGSTOP" | "SIGCONT", condition: Condition): void {
    this.condition = condition
    this.process.kill(signal)
  }

  /** Calls a second, over the last second. */
  get rate(): number {
    const [first, last] = [this.samples[0], this.samples.at(-1)]
    if (first === undefined || last === undefined || last.at === first.at) return 0
    return ((last.answered - first.answered) * 1000) / (last.at - first.at)
  }
}

/** All programs of the demonstration. */
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

  /** Starts a program. Its node does nothing before it is asked to join. */
  launch(name: string): Program {
    const one = new Program(name, this.#cookie)
    this.programs.push(one)
    one.process.on("exit", () => this.#gone(one))
    if (one.process.stdout === null) throw new Error("BUG: the program has no output")
    createInterface({ input: one.process.stdout }).on("line", (line) => {
      this.#hear(one, JSON.parse(line))
      for (const { look } of [...this.#waiting]) look()
    })
    return one
  }

  #hear(one: Program, report: Report): void {
    if (report._tag === "View") {
      if (one.condition === "starting") one.condition = "running"
      one.view = report.view
      one.samples.push(report.view)
      while (report.view.at - (one.samples[1]?.at ?? report.view.at) > 1000) one.samples.shift()
    } else if (report._tag === "Event") {
      const sighting = { at: report.at, by: one.name, event: report.event }
      this.sightings.push(sighting)
      this.#saw(sighting)
    } else {
      one.answers.get(report.id)?.(report)
      one.answers.delete(report.id)
    }
  }

  #gone(one: Program): void {
    const expected = one.condition === "killed" || one.condition === "gone"
    if (!expected) this.fail(new Error(`the program of ${one.name} ended by itself`))
  }

  /** The programs that run, in the order of their start. */
  get running(): ReadonlyArray<Program> {
    return this.programs.filter(({ condition }) => condition === "running")
  }

  /** Waits until `look` finds something; it looks again whenever a program says something. */
  until<T>(what: string, look: () => T | undefined): Promise<T> {
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
        waiting.reject(new Error(`waited ${WAIT_MILLIS_MAX / 1000} s in vain for ${what}`))
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
  }

  /** Ends all programs at once. */
  end(): void {
    for (const one of this.programs) {
      if (one.process.exitCode === null && one.process.signalCode === null) one.signal("SIGKILL", "killed")
    }
  }
}
