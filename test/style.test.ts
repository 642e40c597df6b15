/** The rules of the project's style that a program can check and that the linter doesn't. */
import { describe } from "node:test"
import { enforce, findings } from "./rule.ts"

const sources: ReadonlyArray<string> = ["mod.ts", "src", "transports"]
const code: ReadonlyArray<string> = [...sources, "test", "examples"]
const documents: ReadonlyArray<string> = ["README.md", "CHANGELOG.md", "CONTRIBUTING.md"]
const manifests: ReadonlyArray<string> = [
  ...["package.json", "package-lock.json", "deno.json", "tsconfig.json", "biome.json"],
  ...[".ci", ".gitignore"],
]

const LINES_MAX = 400
/** One machine's properties belong together, and a newcomer reads them one by one. */
const TEST_LINES_MAX = 600
const EXAMPLE_LINES_MAX = 120

describe("files", () => {
  enforce({
    claim: "file names are lower-case nouns",
    paths: sources,
    complain: ({ path }) => {
      if (/(^|\/)index\.ts$/.test(path)) return ["is a barrel"]
      const name = path.startsWith("transports/") ? /^[a-z]+(-[a-z]+)*\.ts$/ : /^[a-z]+\d*\.ts$/
      return name.test(path.slice(path.lastIndexOf("/") + 1)) ? [] : ["has an odd name"]
    },
    obeys: [
      ["src/core/ring.ts", ""],
      ["transports/broadcast-channel.ts", ""],
    ],
    breaks: [
      ["src/core/index.ts", ""],
      ["src/core/hashRing.ts", ""],
      ["src/core/hash-ring.ts", ""],
      ["src/core/ring.js", ""],
    ],
  })

  enforce({
    claim: `no file is longer than ${LINES_MAX} lines, no test than ${TEST_LINES_MAX}`,
    paths: code,
    complain: ({ path, text }) =>
      tooLong(text, path.startsWith("test/") ? TEST_LINES_MAX : LINES_MAX),
    obeys: [
      ["src/core/ring.ts", "\n".repeat(LINES_MAX)],
      ["test/core/ring.test.ts", "\n".repeat(TEST_LINES_MAX)],
    ],
    breaks: [
      ["src/core/ring.ts", "\n".repeat(LINES_MAX + 1)],
      ["test/core/ring.test.ts", "\n".repeat(TEST_LINES_MAX + 1)],
    ],
  })

  enforce({
    claim: `no example is longer than ${EXAMPLE_LINES_MAX} lines`,
    paths: ["examples"],
    // A larger program lives in a directory of its own.
    complain: ({ path, text }) =>
      /^examples\/[^/]+$/.test(path) ? tooLong(text, EXAMPLE_LINES_MAX) : [],
    obeys: [["examples/demo/main.ts", "\n".repeat(200)]],
    breaks: [["examples/counter.ts", "\n".repeat(EXAMPLE_LINES_MAX + 1)]],
  })
})

describe("code", () => {
  enforce({
    claim: "there are no default exports",
    paths: code,
    complain: (source) => findings(source.code, [/\bexport\s+default\b/g, /\bas\s+default\b/g]),
    obeys: [["mod.ts", "/** export default */\nexport const ring = 1"]],
    breaks: [
      ["mod.ts", "export default function start() {}"],
      ["mod.ts", "export { start as default }"],
    ],
  })

  enforce({
    claim: "a type is `any` only where a comment says why",
    paths: sources,
    complain: ({ code, text }) => {
      const lines = code.split("\n").map((line, i) => (excused(text, i) ? "" : line))
      return findings(lines.join("\n"), [/(?:[:<,|&=(]|=>|\bas)\s*any\b(?!\s*[:(=])/g])
    },
    obeys: [
      ["mod.ts", "// any: number\nconst all = Promise.any(list), any = 1"],
      ["mod.ts", "// biome-ignore lint/suspicious/noExplicitAny: variance\ntype T = Box<any>"],
    ],
    breaks: [
      ["mod.ts", "export function start(options: any): void {}"],
      ["mod.ts", "type T = Map<string, any>"],
      ["mod.ts", "const x = y as any"],
      ["mod.ts", "// biome-ignore lint/suspicious/noExplicitAny:\ntype T = Box<any>"],
    ],
  })

  enforce({
    claim: "every export has a doc comment",
    paths: sources,
    complain: ({ text }) => undocumented(text),
    obeys: [
      ["mod.ts", "/** The ring. */\nexport const ring = 1\nexport { a } from './a.ts'"],
      ["mod.ts", "/** Both. */\nexport function f(a: 1): 1\nexport function f(a: 2): 2"],
      ["mod.ts", "/** The ring. */\n// biome-ignore lint/a/b: c\nexport const ring = 1"],
    ],
    breaks: [
      ["mod.ts", "export const ring = 1"],
      ["mod.ts", "/** The ring. */\nexport const ring = 1\nexport const other = 1"],
      ["mod.ts", "/* Not a doc comment. */\nexport type Ring = 1"],
    ],
  })

  enforce({
    claim: "every module says what it is for",
    paths: sources,
    complain: ({ text }) =>
      /^\/\*\*[\s\S]*?\*\//.test(text) ? [] : ["starts with no doc comment"],
    obeys: [["mod.ts", "/** The ring. */\nimport './ring.ts'"]],
    breaks: [["mod.ts", "import './ring.ts'"]],
  })

  enforce({
    claim: "no test is left out",
    paths: ["test"],
    complain: (source) =>
      findings(source.code, [
        /\b(?:test|describe|it|suite)\s*\.\s*(?:skip|only|todo)\b/g,
        /\b(?:skip|only|todo)\s*:/g,
        /(?<![.\w$])(?:xit|xtest|xdescribe|fit|fdescribe)\s*\(/g,
      ]),
    obeys: [["test/a.test.ts", 'test("skip: nothing", () => ring.skip())']],
    breaks: [
      ["test/a.test.ts", 'test.skip("a", f)'],
      ["test/a.test.ts", 'describe.only("a", f)'],
      ["test/a.test.ts", 'test("a", { todo: true }, f)'],
    ],
  })
})

describe("texts", () => {
  enforce({
    claim: "nothing is tied to one package registry or one machine",
    paths: [...code, ...documents, ...manifests],
    complain: ({ text }) =>
      findings(text, [
        /\bregistry\.[a-z0-9-]+\.(?:com|dev|io|net|org)\b/gi,
        /\/\/(?:[\w-]+\.)*(?:registry|npm)[.:][\w.-]+/gi,
        /"resolved":\s"/g,
        /(?<![\w.:@/-])\/(?:home|Users|root|work|tmp)\/\w+/g,
      ]),
    obeys: [
      ["README.md", "Registry.lookup(name), https://example.com/home/page, ./docs/a"],
      ["src/core/registry.ts", "registry.step(state)"],
    ],
    breaks: [
      ["package-lock.json", ['"resolved"', '"https://a.example/a.tgz"'].join(": ")],
      ["README.md", ["registry", "example", "org"].join(".")],
      ["README.md", ["https://npm", "example:4873"].join(".")],
      ["README.md", ["", "home", "me", "skein"].join("/")],
    ],
  })
})

function tooLong(text: string, max: number): ReadonlyArray<string> {
  const lines = text.split("\n").length - 1
  return lines > max ? [`has ${lines} lines`] : []
}

function excused(text: string, line: number): boolean {
  const above = text.split("\n")[line - 1] ?? ""
  return /biome-ignore lint\/suspicious\/noExplicitAny: \S/.test(above)
}

function undocumented(text: string): ReadonlyArray<string> {
  const wrong: Array<string> = []
  let documented = false
  let last = ""
  for (const line of text.split("\n")) {
    const name = /^export (?:declare |abstract |async )*[a-z]+\*? ([\w$]+)/.exec(line)?.[1]
    // The further signatures of a function belong to its first.
    if (name !== undefined && !documented && name !== last) wrong.push(`${name} has no doc comment`)
    if (name !== undefined) last = name
    if (line.startsWith("/**")) documented = true
    else if (!/^ \*|^\/\/|^$/.test(line)) documented = false
  }
  return wrong
}
