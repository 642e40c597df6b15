/**
 * One of the programs that the demonstration starts: a node, what it was last heard to say, and how
 * it is asked to do something.
 *
 * @module
 */
import { type ChildProcess, spawn } from "node:child_process"
import process from "node:process"
import { fileURLToPath } from "node:url"
import type { Orders, Report, View } from "./node.ts"

/** What was done to a program. */
export type Condition = "starting" | "running" | "frozen" | "killed" | "gone"

interface Asked {
  readonly resolve: (value: unknown) => void
  readonly reject: (error: Error) => void
}

/** How long anything is waited for. */
export const WAIT_MILLIS_MAX: number = 60_000

// Compiled, it starts compiled programs.
const extension: string = import.meta.url.endsWith(".ts") ? "ts" : "js"
const path: string = fileURLToPath(new URL(`node.${extension}`, import.meta.url))
const args: ReadonlyArray<string> =
  "Deno" in globalThis ? ["run", "--allow-all", "--no-check", path] : [path]

/** A program with a node in it. */
export class Program {
  readonly name: string
  readonly child: ChildProcess
  condition: Condition = "starting"
  /** How its node last saw the cluster. */
  view: View | undefined
  /** The views of the last second. */
  readonly #recent: Array<View> = []
  readonly #asked = new Map<number, Asked>()
  #lastId = 0

  /** Starts a program. Its node does nothing before it is asked to join. */
  constructor(name: string, cookie: string) {
    this.name = name
    this.child = spawn(process.execPath, args, {
      stdio: ["pipe", "pipe", "inherit"],
      env: { ...process.env, DEMO_COOKIE: cookie },
    })
    // Writing to a program that has just been killed fails, and that is all right.
    this.child.stdin?.on("error", () => {})
  }

  /** Has the program do something; resolves to its answer. */
  ask<K extends keyof Orders>(
    order: K,
    ...args: Parameters<Orders[K]>
  ): Promise<ReturnType<Orders[K]>> {
    const id = ++this.#lastId
    this.child.stdin?.write(`${JSON.stringify({ id, order, args })}\n`)
    return new Promise((done, fail) => {
      const timer = setTimeout(
        () => fail(new Error(`${this.name} did not ${order} within ${WAIT_MILLIS_MAX / 1000} s`)),
        WAIT_MILLIS_MAX,
      )
      const resolve = (value: unknown): void => {
        clearTimeout(timer)
        done(value as ReturnType<Orders[K]>)
      }
      const reject = (error: Error): void => {
        clearTimeout(timer)
        fail(new Error(`${this.name} could not ${order}: ${error.message}`))
      }
      this.#asked.set(id, { resolve, reject })
    })
  }

  /** Takes in what the program told. */
  hear(report: Exclude<Report, { readonly _tag: "Event" }>): void {
    if (report._tag === "View") return this.#see(report.view)
    const asked = this.#asked.get(report.id)
    this.#asked.delete(report.id)
    if (report._tag === "Done") asked?.resolve(report.value)
    else asked?.reject(new Error(report.reason))
  }

  #see(view: View): void {
    if (this.condition === "starting") this.condition = "running"
    this.view = view
    this.#recent.push(view)
    while (view.at - (this.#recent[1]?.at ?? view.at) > 1000) this.#recent.shift()
  }

  /** Gives up all that was asked. */
  fail(error: Error): void {
    for (const { reject } of this.#asked.values()) reject(error)
    this.#asked.clear()
  }

  /** Calls answered a second, over the last second. */
  get rate(): number {
    const [first, last] = [this.#recent[0], this.#recent.at(-1)]
    if (first === undefined || last === undefined || last.at === first.at) return 0
    return ((last.added - first.added) * 1000) / (last.at - first.at)
  }

  /** Sends the program a signal; `condition` is what that makes of it. */
  signal(signal: "SIGKILL" | "SIGSTOP" | "SIGCONT", condition: Condition): void {
    this.condition = condition
    // By its id: on Deno, `child.kill` sends one signal only.
    const { pid } = this.child
    if (pid !== undefined) process.kill(pid, signal)
  }

  /** Lets the program end, as its node has left. */
  dismiss(): void {
    this.condition = "gone"
    this.child.stdin?.end()
  }

  /** Ends the program at once if it still runs. */
  end(): void {
    if (this.child.exitCode !== null || this.child.signalCode !== null) return
    try {
      this.signal("SIGKILL", "killed")
    } catch {
      // It has just ended by itself.
    }
  }
}
