/**
 * What the chapters of the demonstration share: the programs, the screen, the clients' books, and the
 * figures and broken promises that are collected on the way.
 *
 * @module
 */
import { objection } from "./agreement.ts"
import { type Audit, Books } from "./books.ts"
import { keys } from "./counter.ts"
import type { Fleet } from "./fleet.ts"
import type { View } from "./node.ts"
import { type Outage, unexcused } from "./outage.ts"
import type { Program } from "./program.ts"
import type { Screen } from "./screen.ts"

/** Calls a second from every node. */
export const RATE: number = 300
/** Additions between two chapters. */
const ADDED_BETWEEN = 1200

/** Where the demonstration takes place. */
export class Stage {
  readonly fleet: Fleet
  readonly screen: Screen
  readonly books: Books
  readonly outages: Array<Outage> = []
  readonly figures: Record<string, number> = {}
  /** What was promised and didn't hold. */
  readonly broken: Array<string> = []
  /** The address that newcomers are told. */
  address = ""
  /** What the counters held at the end of the last chapter. */
  audit: Audit = { readings: new Map(), wrong: [], lost: 0 }

  constructor(fleet: Fleet, screen: Screen) {
    this.fleet = fleet
    this.screen = screen
    this.books = new Books(fleet)
  }

  /** A program of this name that runs. */
  program(name: string): Program {
    const found = this.fleet.running.find((one) => one.name === name)
    if (found === undefined) throw new Error(`BUG: ${name} doesn't run`)
    return found
  }

  /** The names of the nodes that run. */
  get names(): ReadonlyArray<string> {
    return this.fleet.running.map(({ name }) => name)
  }

  /** The last views of the nodes that run. */
  get views(): ReadonlyArray<View> {
    return this.fleet.running.flatMap(({ view }) => view ?? [])
  }

  /** The keys of the counters that a node holds, as it sees that itself. */
  held(name: string): ReadonlyArray<string> {
    const owners = this.program(name).view?.owners ?? []
    return keys.filter((_, i) => owners[i] === name)
  }

  /** How many counters run on each node. */
  get spread(): string {
    return this.fleet.running
      .map(({ name, view }) => `${name} ${view?.serving.length ?? 0}`)
      .join(", ")
  }

  /** Starts a node that joins the others, and a client in it. */
  async enter(name: string): Promise<Program> {
    const one = this.fleet.launch(name)
    const address = await one.ask("join", name, [this.address])
    this.screen.note(`${name} listens on ${address}, and is told of ${this.address}`)
    await this.books.reopen(one, RATE)
    return one
  }

  /** Waits until these nodes see each other, and every counter runs where the ring says. */
  async settle(names: ReadonlyArray<string>): Promise<void> {
    await this.fleet.until(
      () => `${names.join(", ")} to agree (${objection(this.views, names)})`,
      () => (objection(this.views, names) === undefined ? true : undefined),
    )
  }

  /** Lets the clients go on for a while. */
  async between(): Promise<void> {
    const added = (): number => this.views.reduce((sum, view) => sum + view.added, 0)
    const goal = added() + ADDED_BETWEEN
    await this.fleet.until("calls to be answered", () => (added() >= goal ? true : undefined))
  }

  /** Reads all counters, and compares them with what they must hold. */
  async check(): Promise<{ readonly before: Audit; readonly after: Audit }> {
    const before = this.audit
    const [reader] = this.fleet.running
    if (reader === undefined) throw new Error("BUG: no node runs")
    const after = await this.books.audit(reader)
    this.audit = after
    const wrong = after.wrong.length
    this.promise(wrong === 0, `${wrong} counters hold what they can't, ${after.wrong[0]} for one`)
    return { before, after }
  }

  /** Says how many calls were made since the last time, and how many of them failed. */
  async account(): Promise<void> {
    const { figures } = this
    const tallies = await this.books.tallies()
    const all = [...tallies.values()]
    const failures = all.flatMap((tally) => tally.failures).length
    const failed = unexcused(tallies, this.outages)
    const rise = (figure: string, value: number): number => {
      const by = value - (figures[figure] ?? 0)
      figures[figure] = value
      return by
    }
    const calls = rise(
      "callsTotal",
      all.reduce((sum, tally) => sum + tally.calls, 0),
    )
    const broken = rise("callsFailed", failed.length)
    const excused = rise("callsExcused", failures - failed.length)
    const but = excused === 0 ? "" : `, but for ${excused} to a node not yet known to be down`
    this.screen.note(`${calls} calls meanwhile, ${broken} failed${but}`)
    const last = JSON.stringify(failed.at(-1))
    this.promise(broken === 0, `${broken} calls failed that had no right to, the last: ${last}`)
  }

  /** Notes what went wrong unless it holds. */
  promise(holds: boolean, otherwise: string): void {
    if (holds) return
    this.broken.push(otherwise)
    this.screen.note(`✗ ${otherwise}`, "bad")
  }
}
