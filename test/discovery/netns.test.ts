/**
 * Three hosts with a network of their own each, joined by a bridge: network namespaces of Linux, made with
 * iproute2 and removed afterwards. Where that isn't permitted the test says that it was skipped.
 */
import assert from "node:assert/strict"
import { type ChildProcess, execFileSync, spawn } from "node:child_process"
import { describe, test } from "node:test"
import { fileURLToPath } from "node:url"

const NAMES: ReadonlyArray<string> = ["a", "b", "c"]
/** Before the runners give a test up, and with it what it has made: hosts that see nothing end then. */
const GUARD_MILLIS = 50_000

/** The hosts' network. Everything in it goes when its namespaces do. */
class Network {
  readonly #namespaces: Array<string> = []
  readonly #switch = `skein-${process.pid}-switch`

  /** Throws what iproute2 says where it isn't permitted, or not there. */
  constructor() {
    this.#add(this.#switch)
    ip("-n", this.#switch, "link", "add", "bridge", "type", "bridge")
    ip("-n", this.#switch, "link", "set", "bridge", "up")
  }

  /** Adds a host with this address; its namespace. */
  host(name: string, address: string): string {
    const namespace = `skein-${process.pid}-${name}`
    this.#add(namespace)
    const peer = ["peer", "name", "eth0", "netns", namespace]
    ip("-n", this.#switch, "link", "add", port(name), "type", "veth", ...peer)
    ip("-n", this.#switch, "link", "set", port(name), "master", "bridge", "up")
    ip("-n", namespace, "address", "add", address, "dev", "eth0")
    ip("-n", namespace, "link", "set", "lo", "up")
    ip("-n", namespace, "link", "set", "eth0", "up")
    return namespace
  }

  /** Plugs a host's cable out of the bridge, or in again. */
  plug(name: string, state: "up" | "down"): void {
    ip("-n", this.#switch, "link", "set", port(name), state)
  }

  /** Removes what was made, and nothing else. */
  remove(): void {
    for (const namespace of this.#namespaces.splice(0)) ip("netns", "delete", namespace)
  }

  #add(namespace: string): void {
    ip("netns", "add", namespace)
    this.#namespaces.push(namespace)
  }
}

const port = (name: string): string => `port-${name}`

function ip(...args: ReadonlyArray<string>): void {
  execFileSync("ip", args, { stdio: ["ignore", "ignore", "pipe"] })
}

/** A network with a host for each name, or undefined where that can't be had, which is said. */
function build(): { network: Network; namespaces: ReadonlyArray<string> } | undefined {
  let network: Network | undefined
  try {
    const made = new Network()
    network = made
    const namespaces = NAMES.map((name, i) => made.host(name, `10.83.0.${i + 1}/24`))
    return { network, namespaces }
  } catch (error) {
    network?.remove()
    console.warn(`skipped: no network namespaces can be made here: ${error}`)
    return undefined
  }
}

/** A node on a host. */
class Host {
  readonly #child: ChildProcess
  readonly #gone: Promise<number | null>
  #up: ReadonlyArray<string> = []
  #look: () => void = () => {}

  constructor(name: string, namespace: string) {
    const program = ["netns", "exec", namespace, ...command("host"), name]
    const child = spawn("ip", program, { stdio: ["pipe", "pipe", "inherit"] })
    this.#child = child
    this.#gone = new Promise((resolve) => child.on("close", resolve))
    child.stdin.on("error", () => {}) // It may be gone.
    let rest = ""
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      const lines = (rest + text).split("\n")
      rest = lines.pop() ?? ""
      for (const line of lines) {
        this.#up = JSON.parse(line)
        this.#look()
      }
    })
  }

  /** Resolves once exactly these members are up, as this host sees it; rejects when the host ends. */
  sees(...names: ReadonlyArray<string>): Promise<void> {
    const seen = new Promise<void>((resolve) => {
      this.#look = () => {
        if (this.#up.join() === names.join()) resolve()
      }
      this.#look()
    })
    const ended = this.#gone.then((code) => {
      throw new Error(`the host ended with ${code} before it saw ${names}`)
    })
    return Promise.race([seen, ended])
  }

  /** Lets the node leave its cluster; the exit code. */
  leave(): Promise<number | null> {
    this.#child.stdin?.end()
    return this.#gone
  }

  async kill(): Promise<void> {
    this.#child.kill("SIGKILL")
    await this.#gone
  }
}

/** The command line of a program beside this one, on the runtime that this one runs on. */
function command(file: string): ReadonlyArray<string> {
  const ending = import.meta.url.endsWith(".ts") ? "ts" : "js"
  const path = fileURLToPath(new URL(`./${file}.${ending}`, import.meta.url))
  const flags = process.versions.deno ? ["run", "--allow-all", "--no-check"] : []
  return [process.execPath, ...flags, path]
}

describe("three hosts with no address configured", () => {
  test("find each other, see one of them cut off, heal, and let one leave", async () => {
    const built = build()
    if (built === undefined) return
    const { network, namespaces } = built
    const hosts: Array<Host> = []
    // For a run that is ended in the middle.
    const remove = (): void => network.remove()
    process.once("exit", remove)
    const guard = setTimeout(() => hosts.map((host) => host.kill()), GUARD_MILLIS)
    try {
      for (const [i, name] of NAMES.entries()) hosts.push(new Host(name, namespaces[i] ?? ""))
      const [a, b, c] = hosts as [Host, Host, Host]
      const all = (): Promise<unknown> => Promise.all(hosts.map((host) => host.sees("a", "b", "c")))
      await all()
      network.plug("c", "down")
      await Promise.all([a.sees("a", "b"), b.sees("a", "b"), c.sees("c")])
      network.plug("c", "up")
      await all()
      const left = c.leave()
      await Promise.all([a.sees("a", "b"), b.sees("a", "b")])
      assert.equal(await left, 0)
      assert.deepEqual(await Promise.all([a.leave(), b.leave()]), [0, 0])
    } finally {
      clearTimeout(guard)
      await Promise.all(hosts.map((host) => host.kill()))
      network.remove()
      process.off("exit", remove)
    }
  })
})
