/** The rules of the project's structure that a program can check: layout, imports, purity. */
import assert from "node:assert/strict"
import { readdirSync } from "node:fs"
import { posix } from "node:path"
import { describe, test } from "node:test"
import { enforce, findings } from "./rule.ts"
import { type Import, list, load, parse, root, type Source } from "./source.ts"

const sources: ReadonlyArray<string> = ["mod.ts", "src", "transports"]

interface Layer {
  readonly name: string
  /** The files that belong to it. */
  readonly files: RegExp
  /** The layers it may import. */
  readonly layers: ReadonlyArray<string>
  /** The packages it may import. */
  readonly packages: RegExp
}

const none = /^$/
const effect = /^effect(\/[A-Z]\w*)?$/
const below: ReadonlyArray<string> = ["core", "port", "wire", "runtime"]

/** From the bottom up. A file that is in none of them has no place in the project. */
const layers: ReadonlyArray<Layer> = [
  { name: "core", files: /^src\/core\//, layers: ["core"], packages: effect },
  {
    name: "port",
    files: /^src\/(transport|streams?|soon|discovery\/discovery)\.ts$/,
    layers: ["port"],
    packages: none,
  },
  { name: "wire", files: /^src\/wire\//, layers: ["core", "port", "wire"], packages: effect },
  { name: "runtime", files: /^src\/runtime\//, layers: below, packages: effect },
  // What the root may import of discovery, as it needs no host.
  {
    name: "seeds",
    files: /^src\/discovery\/(static|poll)\.ts$/,
    layers: ["port", "seeds"],
    packages: none,
  },
  {
    name: "face",
    files: /^(mod|src\/effect)\.ts$/,
    layers: [...below, "seeds"],
    packages: effect,
  },
  {
    name: "discovery",
    files: /^src\/discovery\//,
    layers: ["port", "seeds", "discovery"],
    packages: /^node:/,
  },
  {
    name: "http",
    files: /^src\/http\//,
    layers: [...below, "face", "http"],
    packages: /^(effect(\/[A-Z]\w*)?|hono(\/.+)?)$/,
  },
  {
    name: "testing",
    files: /^src\/testing\//,
    layers: [...below, "face", "testing"],
    packages: /^(effect(\/[A-Z]\w*)?|fast-check)$/,
  },
  // What several transports are made of.
  {
    name: "pieces",
    files: /^transports\/(socket\/.+|presence)\.ts$/,
    layers: ["port", "pieces"],
    packages: /^(node:.+|ws)$/,
  },
  {
    name: "transports",
    files: /^transports\//,
    layers: ["port", "pieces"],
    packages: /^(node:.+|ws|hono(\/ws)?)$/,
  },
]

describe("imports", () => {
  enforce({
    claim: "a file imports only what its layer may",
    paths: sources,
    complain: (source) => source.imports.flatMap((found) => trespass(source, found)),
    obeys: [
      ["src/core/ring.ts", 'import { hash32 } from "./hash.ts"'],
      ["src/runtime/node.ts", 'import * as Ring from "../core/ring.ts"\nimport "effect/Option"'],
      ["transports/tcp.ts", 'import net from "node:net"\nimport "../src/transport.ts"'],
      ["mod.ts", 'export { start } from "./src/runtime/node.ts"'],
      ["mod.ts", 'export { seeds } from "./src/discovery/static.ts"'],
      ["src/discovery/dns.ts", 'import "node:dns"\nimport "./discovery.ts"\nimport "./poll.ts"'],
      ["src/runtime/node.ts", 'import type { Discovery } from "../discovery/discovery.ts"'],
    ],
    breaks: [
      ["src/core/ring.ts", 'import { link } from "../runtime/link.ts"'],
      ["src/core/ring.ts", 'import type { Link } from "../runtime/link.ts"'],
      ["src/core/ring.ts", 'import net from "node:net"'],
      ["src/core/ring.ts", 'const net = await import("node:net")'],
      ["src/wire/frame.ts", 'export * from "../runtime/link.ts"'],
      ["src/runtime/node.ts", 'import { tcp } from "../../transports/tcp.ts"'],
      ["src/runtime/node.ts", 'import {\n  simulate,\n} from "../testing/simulate.ts"'],
      ["src/runtime/node.ts", 'import "effect/cluster"'],
      ["src/runtime/node.ts", 'import { Ring } from "skein/ring"'],
      ["src/transport.ts", 'import { Effect } from "effect"'],
      ["mod.ts", 'import { tcp } from "./transports/tcp.ts"'],
      ["transports/tcp.ts", 'import { start } from "../mod.ts"'],
      ["transports/tcp.ts", 'import { memory } from "./memory.ts"'],
      ["mod.ts", 'export { dns } from "./src/discovery/dns.ts"'],
      ["src/runtime/node.ts", 'import { seeds } from "../discovery/static.ts"'],
      ["src/discovery/discovery.ts", 'import net from "node:net"'],
      ["src/discovery/static.ts", 'import { dns } from "./dns.ts"'],
      ["src/discovery/static.ts", 'import fs from "node:fs"'],
      ["src/discovery/dns.ts", 'import { hash32 } from "../core/hash.ts"'],
      ["src/discovery/dns.ts", 'import { Effect } from "effect"'],
      ["src/somewhere/new.ts", 'import "../core/ring.ts"'],
    ],
  })

  enforce({
    claim: "a relative import names the file with its .ts",
    paths: [...sources, "test", "examples"],
    complain: (source) =>
      source.imports
        .filter(({ specifier }) => /^\.|^\//.test(specifier))
        .filter(({ specifier }) => !/^\.\.?\/.*\.(ts|json)$/.test(specifier))
        .map(({ specifier }) => `imports "${specifier}"`),
    obeys: [["src/core/ring.ts", 'import "./hash.ts"\nconst text = `import "./hash"`']],
    breaks: [
      ["src/core/ring.ts", 'import "./hash"'],
      ["src/core/ring.ts", 'export { hash32 } from "./hash.js"'],
      ["src/core/ring.ts", 'import * as Hash from ".."'],
    ],
  })

  enforce({
    claim: "core uses no Effect module that runs, reads the clock or draws at random",
    paths: ["src/core"],
    complain: (source) => effectModules(source).filter((name) => !data.has(name)),
    obeys: [["src/core/ring.ts", 'import { Option, type Order as O, pipe } from "effect"']],
    breaks: [
      ["src/core/ring.ts", 'import { Effect } from "effect"'],
      ["src/core/ring.ts", 'import { Option, type Clock } from "effect"'],
      ["src/core/ring.ts", 'import * as Random from "effect/Random"'],
      ["src/core/ring.ts", 'import * as All from "effect"'],
    ],
  })

  enforce({
    claim: "no Effect module that may change in a minor release is used",
    paths: sources,
    complain: (source) => effectModules(source).filter((name) => unstable.has(name)),
    obeys: [["src/runtime/node.ts", 'import { Effect, Queue } from "effect"']],
    breaks: [
      ["src/runtime/node.ts", 'import { Effect, HashRing } from "effect"'],
      ["src/runtime/node.ts", 'import * as SemVer from "effect/SemVer"'],
    ],
  })

  test("fast-check is imported by one file outside the tests at most", () => {
    const importers = parsed().filter(({ imports }) =>
      imports.some(({ specifier }) => specifier === "fast-check"),
    )
    assert.ok(importers.length <= 1, importers.map(({ path }) => path).join(", "))
  })

  test("the ring needs no package", () => {
    const seen = new Set<string>()
    const packages = reach("src/core/ring.ts", graph(parsed()), seen)
    assert.deepEqual(packages, [])
    assert.ok(seen.has("src/core/hash.ts"), "the check follows imports")
  })

  test("no file imports itself by a detour", () => {
    assert.deepEqual(cycles(graph(parsed())), [])
  })

  test("no file imports itself by a detour: the check can tell", () => {
    const a = parse("src/core/a.ts", 'import type { B } from "./b.ts"')
    const b = parse("src/core/b.ts", 'import { c } from "./c.ts"')
    const c = parse("src/core/c.ts", 'import { a } from "./a.ts"')
    assert.deepEqual(cycles(graph([a, b])), [])
    assert.deepEqual(cycles(graph([a, b, c])), [
      "src/core/a.ts → src/core/b.ts → src/core/c.ts → src/core/a.ts",
    ])
  })
})

describe("purity", () => {
  enforce({
    claim: "core reads no clock, draws nothing at random, waits for nothing and calls no host",
    paths: ["src/core"],
    complain: ({ code }) => findings(code, [...hosts, ...impure]),
    obeys: [
      ["src/core/ring.ts", "// Date.now() is not used\nconst at = state.process.performance"],
      ["src/core/ring.ts", 'const text = "Math.random()", pattern = /Math.pow/'],
      ["src/core/ring.ts", "const slot = Math.floor(Math.sqrt(Math.imul(a, b))) + 2 ** 16"],
    ],
    breaks: [
      ["src/core/ring.ts", "const now = Date.now()"],
      ["src/core/ring.ts", "const now = performance.now()"],
      ["src/core/ring.ts", "const at = Math.random()"],
      ["src/core/ring.ts", "const score = -Math.log(x)"],
      ["src/core/ring.ts", "const { pow } = Math"],
      ["src/core/ring.ts", "const score = x ** 2"],
      ["src/core/ring.ts", `const text = \`\${Date.now()}\``],
      ["src/core/ring.ts", "const id = crypto.randomUUID()"],
      ["src/core/ring.ts", "setTimeout(f, 1)"],
      ["src/core/ring.ts", "console.log(state)"],
      ["src/core/ring.ts", "const cookie = process.env.COOKIE"],
      ["src/core/ring.ts", "export async function step() {}"],
      ["src/core/ring.ts", "names.sort((a, b) => a.localeCompare(b))"],
    ],
  })

  enforce({
    claim: "runtime and discovery take time, timers and randomness only from what they are given",
    paths: ["src/runtime", "src/discovery"],
    complain: ({ path, code }) =>
      path === "src/runtime/platform.ts" ? [] : findings(code, hosts.slice(0, -1)),
    obeys: [
      ["src/runtime/node.ts", "const now = platform.now()"],
      ["src/runtime/platform.ts", "const now = performance.now()"],
    ],
    breaks: [
      ["src/runtime/node.ts", "const now = performance.now()"],
      ["src/runtime/node.ts", "const timer = setInterval(tick, 100)"],
      ["src/runtime/node.ts", "const at = Math.random()"],
      ["src/discovery/dns.ts", "setTimeout(look, 5_000)"],
    ],
  })

  enforce({
    claim: "the library prints nothing",
    paths: sources,
    complain: ({ code }) => findings(code, [/(?<![.\w$])console\b/g]),
    obeys: [["mod.ts", "/** `console.log(node.name)` */\nexport const a = 1"]],
    breaks: [["mod.ts", "console.warn(1)"]],
  })
})

describe("the layout", () => {
  const required = ["LICENSE", "README.md", "deno.json", "examples", "mod.ts", "package.json"]
  const known = new Set([
    ...[...required, "src", "test", "transports", "tsconfig.json", "biome.json"],
    ...["CHANGELOG.md", "CONTRIBUTING.md", "package-lock.json", ".ci", ".git", ".gitignore"],
    // Not part of a release: installed, built, and left behind by tests that failed.
    ...["node_modules", "dist", ".sim"],
  ])

  test("has nothing unknown at the top", () => {
    const entries = readdirSync(root)
    assert.deepEqual(
      entries.filter((entry) => !known.has(entry)),
      [],
    )
    assert.deepEqual(
      required.filter((entry) => !entries.includes(entry)),
      [],
    )
  })

  enforce({
    claim: "every source file has a place in a layer",
    paths: sources,
    complain: ({ path }) => (layerOf(path) === undefined ? ["is in no layer"] : []),
    obeys: [["src/core/ring.ts", ""]],
    breaks: [["src/util.ts", ""]],
  })
})

/** What an import of a file does that its layer may not. */
function trespass(source: Source, { specifier }: Import): ReadonlyArray<string> {
  const layer = layerOf(source.path)
  if (layer === undefined) return ["is in no layer"]
  const target = resolve(source.path, specifier)
  const allowed =
    target === undefined
      ? layer.packages.test(specifier)
      : layer.layers.includes(layerOf(target)?.name ?? "")
  return allowed ? [] : [`${layer.name} may not import "${specifier}"`]
}

function layerOf(path: string): Layer | undefined {
  return layers.find(({ files }) => files.test(path))
}

/** The path that a relative specifier means; undefined for a package. */
function resolve(path: string, specifier: string): string | undefined {
  return specifier.startsWith(".") ? posix.join(posix.dirname(path), specifier) : undefined
}

/** The modules of Effect that a file takes, however it imports them. */
function effectModules({ imports }: Source): ReadonlyArray<string> {
  return imports.flatMap(({ specifier, names }) => {
    if (specifier === "effect") return names.length > 0 ? names : ["*"]
    return specifier.startsWith("effect/") ? [specifier.slice("effect/".length)] : []
  })
}

const data: ReadonlySet<string> = new Set([
  ...["Array", "BigInt", "Boolean", "Brand", "Chunk", "Data", "Duration", "Equal", "Equivalence"],
  ...["Function", "HashMap", "HashSet", "Iterable", "Match", "MutableHashMap", "MutableHashSet"],
  ...["MutableList", "Number", "Option", "Order", "Ordering", "Predicate", "Record", "Result"],
  ...["Schema", "String", "Struct", "Trie", "Tuple", "Types", "absurd", "flow", "identity", "pipe"],
])

const unstable: ReadonlySet<string> = new Set([
  ...["Arbitrary", "ByteSize", "Bytes", "ChannelSchema", "ErrorReporter", "ExecutionPlan"],
  ...["FileSystem", "Graph", "HashRing", "LayerMap", "LayerRef", "Newtype", "Path"],
  ...["PartitionedSemaphore", "PlatformError", "SemVer", "SemVerRange", "Stdio", "Terminal"],
  ...["TxChunk", "TxQueue", "Version"],
])

/** The clocks, timers and randomness of the hosts. The last one is for core alone. */
const hosts: ReadonlyArray<RegExp> = [
  /(?<![.\w$])(?:Date|performance|crypto)\b(?!\s*[?:])/g,
  /(?<![.\w$])(?:set|clear)(?:Timeout|Interval|Immediate)\b/g,
  /\bMath\s*\.\s*random\b/g,
  /(?<![.\w$])(?:globalThis|queueMicrotask|fetch|structuredClone|WeakRef|FinalizationRegistry)\b/g,
]

const impure: ReadonlyArray<RegExp> = [
  // Engines may differ in the last bit of every other function of Math, and of the power operator.
  /\bMath\b(?!\s*\.\s*(?:abs|ceil|clz32|floor|fround|imul|max|min|round|sign|sqrt|trunc)\b)/g,
  // (A power of 2 is exact.)
  /(?<!\b2\s*)\*\*/g,
  /(?<![.\w$])(?:console|Buffer|Deno|Bun|Intl|Promise|async|await)\b(?!\s*[?:])/g,
  /(?<![.\w$])process\s*\.\s*(?:env|argv|cwd|exit|hrtime|memoryUsage|nextTick|on|pid|std\w+)\b/g,
  /\.(?:localeCompare|toLocale\w+)\b/g,
]

function parsed(): ReadonlyArray<Source> {
  return list(...sources).map((path) => load(path))
}

/** For every file what it imports: the paths of files, and the names of packages. */
type Graph = ReadonlyMap<string, ReadonlyArray<string>>

function graph(files: ReadonlyArray<Source>): Graph {
  const targets = ({ path, imports }: Source): ReadonlyArray<string> =>
    imports.map(({ specifier }) => resolve(path, specifier) ?? specifier)
  return new Map(files.map((file) => [file.path, targets(file)]))
}

/** The packages that a file needs, itself or through others; `seen` collects those others. */
function reach(path: string, edges: Graph, seen: Set<string>): ReadonlyArray<string> {
  const targets = edges.get(path)
  if (targets === undefined) return [path]
  if (seen.has(path)) return []
  seen.add(path)
  return targets.flatMap((target) => reach(target, edges, seen))
}

/** Each cycle once, from its first file on. */
function cycles(edges: Graph): ReadonlyArray<string> {
  const found: Array<string> = []
  const done = new Set<string>()
  const visit = (path: string, trail: ReadonlyArray<string>): void => {
    const at = trail.indexOf(path)
    if (at >= 0) found.push([...trail.slice(at), path].join(" → "))
    if (at >= 0 || done.has(path)) return
    for (const target of edges.get(path) ?? []) visit(target, [...trail, path])
    done.add(path)
  }
  for (const path of edges.keys()) visit(path, [])
  return found
}
