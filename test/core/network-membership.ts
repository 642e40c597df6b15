/**
 * A network of membership cores in virtual time, with what a runtime and its transport would do: dials,
 * handshakes, ordered links, lateness. Every node is checked against the invariants after every step.
 *
 * Chances are keyed by what they are for, so that one more of one kind leaves the others alone.
 */
import assert from "node:assert/strict"
import type { Claim } from "../../src/core/claim.ts"
import * as Claims from "../../src/core/claim.ts"
import { hash32, mix32 } from "../../src/core/hash.ts"
import * as Invariants from "../../src/core/invariants.ts"
import type { Event, Input, Message, State, Timing } from "../../src/core/membership.ts"
import * as Membership from "../../src/core/membership.ts"

type Unclocked<A> = A extends unknown ? Omit<A, "now"> : never
type Told = Unclocked<Input>

export interface NetworkOptions {
  readonly seed: number
  readonly timing?: Timing
  /** One way, in milliseconds; each message takes from half to one and a half of it. */
  readonly latencyMillis?: number
  readonly membersMax?: number
  /** Chances in percent that a message is lost or doubled, as no ordered link would. */
  readonly lossPercent?: number
  readonly doublePercent?: number
  /** Messages of one link may overtake each other. */
  readonly reorder?: boolean
  /** Keeps what went into each node and what came out. */
  readonly record?: boolean
}

export interface Happened {
  readonly at: number
  readonly event: Event
}

/** A process: what it is called, and whether it runs. */
export interface Node {
  readonly name: string
  readonly address: string
  state: State
  running: boolean
  /** Whether its host answers at all. */
  reachable: boolean
  listening: boolean
  paused: boolean
  readonly events: Array<Happened>
  readonly history: Invariants.History
  readonly links: Map<string, Connection>
  readonly dialling: Set<string>
  /** Inputs that came while it was paused. */
  waiting: Array<Told>
  timer: number
  /** Frames, and claims in them. */
  sent: number
  claimsSent: number
  readonly born: { readonly options: Membership.Options; readonly at: number }
  readonly log: Array<{ readonly input: Input | undefined; readonly outputs: string }>
}

interface Connection {
  readonly from: Node
  readonly to: Node
  /** Whether `from` dialled. */
  readonly dialled: boolean
  /** The epoch of `to`. */
  readonly epoch: number
  open: boolean
  /** When the last of what was sent arrives; the next does so later. */
  clear: number
  /** The same connection, as the other side has it. */
  other: Connection | undefined
}

interface Job {
  readonly at: number
  readonly order: number
  readonly run: () => void
}

const DIAL_MILLIS = 5_000

export class Network {
  now = 0
  readonly nodes: Array<Node> = []
  /** How often somebody dialled. */
  dials = 0
  /** Called with every message that is sent; false loses it. */
  filter: (from: Node, to: Node, message: Message) => boolean = () => true
  /** Whether nodes are held to what they say about others: not when tests put words in their mouths. */
  honest = true
  readonly #options: Required<NetworkOptions>
  readonly #jobs: Array<Job> = []
  readonly #cuts = new Set<string>()
  readonly #counts = new Map<string, number>()
  /** The highest version of each name that it has issued itself. */
  readonly #issued = new Map<string, Claim>()
  #order = 0
  /** Messages held back by cuts. */
  #held: Array<{ readonly from: Node; readonly to: Node; readonly run: () => void }> = []

  constructor(options: NetworkOptions) {
    this.#options = {
      timing: Membership.lan,
      latencyMillis: 1,
      membersMax: 32,
      lossPercent: 0,
      doublePercent: 0,
      reorder: false,
      record: false,
      ...options,
    }
  }

  /** A uint below `bound`, by what it is for and how often that was asked. */
  chance(purpose: string, bound: number): number {
    const count = (this.#counts.get(purpose) ?? 0) + 1
    this.#counts.set(purpose, count)
    return mix32(mix32(hash32(purpose), this.#options.seed), count) % bound
  }

  start(
    name: string,
    seeds: ReadonlyArray<string> = [],
    more: { epoch?: number; address?: string; instance?: number; weight?: number } = {},
  ): Node {
    const { timing, membersMax } = this.#options
    const address = more.address ?? `host-${name}:1`
    const options: Membership.Options = {
      name,
      epoch: more.epoch ?? 1,
      instance: more.instance ?? this.chance("instance", 2 ** 32),
      address,
      weight: more.weight ?? 1,
      roles: [],
      seeds,
      random: this.chance("random", 2 ** 32),
      timing,
      membersMax,
    }
    const { state, outputs } = Membership.init(options, this.now)
    const node: Node = {
      name,
      address,
      state,
      running: true,
      reachable: true,
      listening: true,
      paused: false,
      events: [],
      history: Invariants.history(),
      links: new Map(),
      dialling: new Set(),
      waiting: [],
      timer: 0,
      sent: 0,
      claimsSent: 0,
      born: { options, at: this.now },
      log: [],
    }
    this.nodes.push(node)
    if (this.#options.record) node.log.push({ input: undefined, outputs: JSON.stringify(outputs) })
    this.#carry(node, outputs)
    return node
  }

  /** So many nodes that know each other's addresses and are up. */
  cluster(size: number): ReadonlyArray<Node> {
    const names = Array.from({ length: size }, (_, i) => `n${i}`)
    const addresses = names.map((name) => `host-${name}:1`)
    const nodes = names.map((name) => this.start(name, addresses))
    for (const node of nodes) this.input(node, { _tag: "Synced" })
    return nodes
  }

  input(node: Node, input: Told): void {
    if (!node.running) return
    if (node.paused) {
      node.waiting.push(input)
      return
    }
    const whole = { ...input, now: this.now } as Input
    const { state, outputs } = Membership.step(node.state, whole)
    node.state = state
    if (this.#options.record) node.log.push({ input: whole, outputs: JSON.stringify(outputs) })
    this.#carry(node, outputs)
  }

  /** Lets so much time pass. */
  run(millis: number): void {
    const end = this.now + millis
    for (let job = this.#jobs[0]; job !== undefined && job.at <= end; job = this.#jobs[0]) {
      pop(this.#jobs)
      this.now = Math.max(this.now, job.at)
      job.run()
    }
    this.now = end
  }

  /** Lets time pass until it holds; how long that took. */
  until(what: string, holds: () => boolean, maxMillis: number, stepMillis = 10): number {
    const start = this.now
    while (!holds()) {
      if (this.now - start >= maxMillis) assert.fail(`not within ${maxMillis} ms: ${what}\n${this}`)
      this.run(stepMillis)
    }
    return this.now - start
  }

  /** Lets time pass until all these agree that they are the cluster. */
  settle(nodes: ReadonlyArray<Node>, maxMillis: number): number {
    const states = (): ReadonlyArray<State> => nodes.map((node) => node.state)
    const holds = (): boolean => Invariants.agreed(states()) === undefined
    return this.until(`${nodes.map(({ name }) => name).join()} agree`, holds, maxMillis)
  }

  // --- faults ------------------------------------------------------------------------------------

  /** Nothing gets from one to the other, silently, until it is mended. */
  cut(from: Node, to: Node): void {
    this.#cuts.add(`${from.address}>${to.address}`)
  }

  split(some: ReadonlyArray<Node>, others: ReadonlyArray<Node>): void {
    for (const a of some) {
      for (const b of others) {
        this.cut(a, b)
        this.cut(b, a)
      }
    }
  }

  mend(): void {
    this.#cuts.clear()
    const held = this.#held
    this.#held = []
    for (const { run } of held) run()
  }

  /** The process ends; its connections are closed by its host. */
  exit(node: Node): void {
    this.#stop(node)
    for (const link of [...node.links.values()]) this.#hangUp(link, "reset")
  }

  /** The host is gone: nobody closes anything. */
  crash(node: Node): void {
    this.#stop(node)
    node.reachable = false
  }

  #stop(node: Node): void {
    node.running = false
    node.listening = false
  }

  /** The process stands still; its host goes on. */
  pause(node: Node): void {
    node.paused = true
  }

  resume(node: Node): void {
    node.paused = false
    const { waiting } = node
    node.waiting = []
    // What comes first after a stall, timers or messages, is up to the host.
    if (this.chance("resume", 2) === 0) this.input(node, { _tag: "Tick" })
    for (const input of waiting) this.input(node, input)
    this.input(node, { _tag: "Tick" })
  }

  /** Both sides notice that their connection is gone. */
  reset(a: Node, b: Node): void {
    const link = a.links.get(b.name)
    if (link === undefined) return
    this.#hangUp(link, "reset")
    this.#ended(link, "reset")
  }

  // --- what a runtime does -----------------------------------------------------------------------

  #carry(node: Node, outputs: ReadonlyArray<Membership.Output>): void {
    const { self } = node.state
    const issued = this.#issued.get(self.name)
    if (issued === undefined || Claims.compareVersions(self, issued) > 0) {
      this.#issued.set(self.name, self)
    }
    for (const output of outputs) {
      switch (output._tag) {
        case "Send":
          this.#send(node, output.to, output.message)
          break
        case "Dial":
          this.#dial(node, output.address, output.peer)
          break
        case "Close": {
          const link = node.links.get(output.peer)
          if (link === undefined) break
          this.#hangUp(link, "closed")
          node.links.delete(output.peer)
          break
        }
        case "Event":
          node.events.push({ at: this.now, event: output.event })
      }
    }
    this.#check(node, outputs)
    this.#arm(node)
  }

  #check(node: Node, outputs: ReadonlyArray<Membership.Output>): void {
    const { state, history } = node
    const wrong: Array<string | undefined> = [
      Invariants.rising(history, state),
      Invariants.awake(state, this.now),
    ]
    for (const output of outputs) {
      if (output._tag !== "Event") continue
      const { event } = output
      wrong.push(Invariants.ordered(history, event))
      if (event._tag === "Down" && event.reason !== "disconnected") {
        wrong.push(Invariants.justified(state, event.name))
      }
    }
    const first = wrong.find((complaint) => complaint !== undefined)
    if (first !== undefined) assert.fail(`${this.now} ms, ${node.name}: ${first}\n${this}`)
  }

  /** Only a member raises its own incarnation. */
  #checkClaims(node: Node, claims: ReadonlyArray<Claim>): void {
    node.claimsSent += claims.length
    if (!this.honest) return
    for (const claim of claims) {
      const issued = this.#issued.get(claim.name)
      if (issued !== undefined && Claims.compareVersions(claim, issued) <= 0) continue
      assert.fail(`${this.now} ms, ${node.name} invents ${JSON.stringify(claim)}\n${this}`)
    }
  }

  #arm(node: Node): void {
    const at = Membership.wakeAt(node.state)
    const timer = ++node.timer
    if (at === Number.POSITIVE_INFINITY) return
    // Timers are never early, and a little late.
    const late = this.chance(`timer ${node.address}`, 1_000) / 1_000
    this.#later(Math.max(at, this.now) + late, () => {
      if (node.timer === timer && !node.paused) this.input(node, { _tag: "Tick" })
    })
  }

  #dial(node: Node, address: string, peer: string | undefined): void {
    if (node.dialling.has(address)) return
    if (peer !== undefined && node.links.has(peer)) return
    node.dialling.add(address)
    this.dials++
    const fail = (reason: Extract<Input, { _tag: "DialFailed" }>["reason"]): void => {
      if (!node.dialling.delete(address)) return
      this.input(node, { _tag: "DialFailed", address, reason })
    }
    this.#later(this.now + DIAL_MILLIS, () => fail("timeout"))
    const host = this.nodes.findLast((other) => other.address === address)
    if (host === undefined)
      return this.#later(this.#arrival(`dial ${address}`), () => fail("refused"))
    this.#travel(node, host, this.#arrival(`dial ${address}`), () => {
      if (!host.reachable || host.paused) return
      this.#answer(node, host, fail)
    })
  }

  #answer(
    node: Node,
    host: Node,
    fail: (reason: Extract<Input, { _tag: "DialFailed" }>["reason"]) => void,
  ): void {
    const back = (run: () => void): void =>
      this.#travel(host, node, this.#arrival(`answer ${node.address}`), run)
    if (!host.listening) return back(() => fail("refused"))
    if (!node.running) return
    if (host === node) return back(() => fail("self"))
    const known =
      host.name === node.name
        ? host.state.self
        : Membership.claims(host.state).find(({ name }) => name === node.name)
    if (known !== undefined && (host.name === node.name || known.epoch > node.state.self.epoch)) {
      const { epoch, instance } = known
      return back(() => {
        this.input(node, { _tag: "Superseded", epoch, instance })
        fail("rejected")
      })
    }
    const before = host.links.get(node.name)
    const ours = before?.to === node && before.open && before.dialled
    // When dials cross, the one of the lower name counts.
    const crossed = before === undefined && host.name < node.name && host.dialling.has(node.address)
    if (ours || crossed) return back(() => fail("duplicate"))
    if (before !== undefined) {
      this.#hangUp(before, "reset")
      host.links.delete(node.name)
    }
    this.#establish(host, node)
  }

  #establish(host: Node, node: Node): void {
    const epochs = [node.state.self.epoch, host.state.self.epoch] as const
    const there = connection(host, node, epochs[0], false)
    const here = connection(node, host, epochs[1], true)
    there.other = here
    here.other = there
    host.links.set(node.name, there)
    this.#deliver(there, () => {
      node.dialling.delete(host.address)
      const before = node.links.get(host.name)
      if (before !== undefined) this.#hangUp(before, "reset")
      node.links.set(host.name, here)
      this.input(node, { _tag: "LinkUp", peer: host.name, epoch: epochs[1], address: host.address })
    })
    this.input(host, { _tag: "LinkUp", peer: node.name, epoch: epochs[0], address: node.address })
  }

  #send(node: Node, to: string, message: Message): void {
    const link = node.links.get(to)
    if (link === undefined || !link.open) return
    node.sent++
    if (message._tag === "Claims") this.#checkClaims(node, message.claims)
    if (!this.filter(node, link.to, message)) return
    const { lossPercent, doublePercent } = this.#options
    const purpose = `${node.address}>${link.to.address}`
    if (lossPercent > 0 && this.chance(`loss ${purpose}`, 100) < lossPercent) return
    const twice = doublePercent > 0 && this.chance(`double ${purpose}`, 100) < doublePercent
    for (let i = 0; i < (twice ? 2 : 1); i++) {
      this.#deliver(link, () => {
        if (link.to.links.get(node.name) !== link.other) return
        this.input(link.to, { _tag: "Message", from: node.name, message })
      })
    }
  }

  /** This side of a connection ends; the other one learns it after what was sent before. */
  #hangUp(link: Connection, reason: "closed" | "reset"): void {
    if (!link.open) return
    link.open = false
    const { other } = link
    if (other === undefined) return
    this.#deliver(link, () => this.#ended(other, reason))
  }

  #ended(link: Connection, reason: "closed" | "reset"): void {
    link.open = false
    const { from, to } = link
    if (from.links.get(to.name) !== link) return
    from.links.delete(to.name)
    this.input(from, { _tag: "LinkDown", peer: to.name, epoch: link.epoch, reason })
  }

  /** In order, unless that is off. */
  #deliver(link: Connection, run: () => void): void {
    const at = this.#arrival(`${link.from.address}>${link.to.address}`)
    const due = this.#options.reorder ? at : Math.max(at, link.clear)
    link.clear = due
    this.#travel(link.from, link.to, due, run)
  }

  #travel(from: Node, to: Node, at: number, run: () => void): void {
    this.#later(at, () => {
      if (this.#cuts.has(`${from.address}>${to.address}`)) {
        this.#held.push({ from, to, run: () => this.#later(this.now, run) })
      } else run()
    })
  }

  #arrival(purpose: string): number {
    const { latencyMillis } = this.#options
    return this.now + (latencyMillis * (500 + this.chance(`latency ${purpose}`, 1_000))) / 1_000
  }

  #later(at: number, run: () => void): void {
    push(this.#jobs, { at, order: ++this.#order, run })
  }

  /** What everybody has seen, for a failing test. */
  toString(): string {
    const lines = this.nodes.flatMap(({ name, state, events }) => [
      `${name}: ${Membership.claims(state)
        .map((c) => `${c.name}(${c.epoch},${c.incarnation},${c.rank})`)
        .join(" ")}`,
      ...events.slice(-12).map(({ at, event }) => `  ${Math.round(at)} ${JSON.stringify(event)}`),
    ])
    return lines.join("\n")
  }
}

/** How often the node has seen this event, of this name. */
export function seen(node: Node, tag: Event["_tag"], name?: string): number {
  return node.events.filter(
    ({ event }) =>
      event._tag === tag && (name === undefined || ("name" in event && event.name === name)),
  ).length
}

/** When the node first saw it; undefined for never. */
export function seenAt(node: Node, tag: Event["_tag"], name: string): number | undefined {
  return node.events.find(
    ({ event }) => event._tag === tag && "name" in event && event.name === name,
  )?.at
}

function connection(from: Node, to: Node, epoch: number, dialled: boolean): Connection {
  return { from, to, dialled, epoch, open: true, clear: 0, other: undefined }
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

function pop(jobs: Array<Job>): void {
  const job = jobs.pop()
  if (job === undefined || jobs.length === 0) return
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
}

function before(a: Job, b: Job): boolean {
  return a.at < b.at || (a.at === b.at && a.order < b.order)
}
