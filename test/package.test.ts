/** What the two registries get: the manifests agree, and the parts are no larger than promised. */
import assert from "node:assert/strict"
import { existsSync } from "node:fs"
import { join } from "node:path"
import { describe, test } from "node:test"
import { gzipSync } from "node:zlib"
import { buildSync } from "esbuild"
import { list, load, read, readJson, root } from "./source.ts"

interface Npm {
  readonly name: string
  readonly version: string
  readonly license: string
  readonly engines: Readonly<Record<string, string>>
  readonly exports: Readonly<Record<string, string | { types: string; default: string }>>
  readonly peerDependencies: Readonly<Record<string, string>>
  readonly peerDependenciesMeta: Readonly<Record<string, { readonly optional: boolean }>>
  readonly devDependencies: Readonly<Record<string, string>>
}

interface Jsr {
  readonly name: string
  readonly version: string
  readonly license: string
  readonly exports: Readonly<Record<string, string>>
  readonly imports: Readonly<Record<string, string>>
}

interface Locked {
  readonly version: string
  readonly optionalDependencies?: Readonly<Record<string, string>>
}

interface Lock {
  readonly packages: Readonly<Record<string, Locked>>
}

const npm: Npm = readJson("package.json")
const jsr: Jsr = readJson("deno.json")
const lock: Lock = readJson("package-lock.json")
const { "./package.json": manifest, ...entries } = npm.exports

describe("the manifests", () => {
  test("have one name, version and licence", () => {
    assert.equal(npm.name, "skein")
    assert.equal(jsr.name, "@skein/skein")
    assert.equal(jsr.version, npm.version)
    assert.equal(jsr.license, npm.license)
    assert.match(read("LICENSE"), new RegExp(`^${npm.license} License\n`))
  })

  test("export the same names from the same files", () => {
    const built = Object.entries(jsr.exports).map(([name, path]) => {
      const output = path.replace("./", "./dist/").replace(/\.ts$/, "")
      return [name, { types: `${output}.d.ts`, default: `${output}.js` }]
    })
    assert.deepEqual(entries, Object.fromEntries(built))
    assert.equal(manifest, "./package.json")
  })

  test("put types first and the default last, as resolvers read the conditions in order", () => {
    for (const [name, conditions] of Object.entries(entries)) {
      assert.deepEqual(Object.keys(conditions), ["types", "default"], name)
    }
  })

  test("export files that exist and whose module comment is marked as such", () => {
    for (const [name, path] of Object.entries(jsr.exports)) {
      assert.ok(existsSync(join(root, path)), `${name} is ${path}`)
      assert.match(read(path), /^\/\*\*[\s\S]*?@module\b[\s\S]*?\*\//, path)
    }
  })

  test("let Deno find the project under the names that npm's users import", () => {
    const names = Object.entries(jsr.exports).map(([name, path]) => [
      name.replace(/^\./, npm.name),
      path,
    ])
    const own = Object.entries(jsr.imports).filter(([, target]) => target.startsWith("./"))
    assert.deepEqual(Object.fromEntries(own), Object.fromEntries(names))
  })

  test("ask for the same versions of other packages", () => {
    const others = Object.entries(jsr.imports).filter(([, target]) => !target.startsWith("./"))
    const ranges = { ...npm.devDependencies, ...npm.peerDependencies }
    for (const [name, target] of others) {
      const [, own = "", path = ""] = /^((?:@[^/]+\/)?[^/]+)(.*)$/.exec(name) ?? []
      assert.equal(target, `npm:${own}@${ranges[own]}${path}`)
    }
    for (const [name, range] of Object.entries(npm.peerDependencies)) {
      assert.equal(npm.devDependencies[name], range, `tests run with the ${name} that users have`)
    }
  })

  test("name every package that the sources import", () => {
    const imported = list("mod.ts", "src", "transports").flatMap((path) =>
      load(path)
        .imports.map(({ specifier }) => /^(@[^/]+\/)?[^/]+/.exec(specifier)?.[0] ?? "")
        .filter((name) => !/^\.|^node:/.test(name)),
    )
    for (const name of new Set(imported)) {
      assert.ok(name in npm.peerDependencies, `package.json has ${name} as a peer`)
      assert.ok(name in jsr.imports, `deno.json maps ${name}`)
    }
  })

  test("ship every file that an export or a source map points to", () => {
    const files: ReadonlyArray<string> = readJson<{ files: Array<string> }>("package.json").files
    const include = readJson<{ publish: { include: Array<string> } }>("deno.json").publish.include
    for (const path of ["mod.ts", "src", "transports"]) {
      assert.ok(files.includes(path), `npm: ${path}`)
      assert.ok(include.includes(path), `JSR: ${path}`)
    }
    // Not the whole of dist, which has the compiled tests too.
    const built = files.filter((path) => path.startsWith("dist"))
    assert.deepEqual(built, ["dist/mod.*", "dist/src", "dist/transports"])
  })
})

describe("the lock file", () => {
  test("is that of the manifest", () => {
    const { name, version, license, engines } = npm
    const { peerDependencies, peerDependenciesMeta, devDependencies } = npm
    const needs = { peerDependencies, peerDependenciesMeta, devDependencies }
    assert.deepEqual(lock.packages[""], { name, version, license, engines, ...needs })
  })

  test("knows the packages of every platform, so that it installs on all of them", () => {
    const missing = Object.values(lock.packages)
      .flatMap(({ optionalDependencies = {} }) => Object.keys(optionalDependencies))
      .filter((name) => !(`node_modules/${name}` in lock.packages))
    assert.deepEqual(missing, [])
  })
})

describe("the bundle for a browser", () => {
  test("of the root has no module of a host, no transport and no simulator", () => {
    const { inputs } = bundle("mod.ts")
    const unwanted = inputs.filter((path) => /^(node:|transports\/|src\/testing\/)/.test(path))
    assert.deepEqual(unwanted, [])
    assert.ok(inputs.includes("mod.ts"))
  })

  test("of the ring alone has no package and is at most 3 KB", () => {
    const { inputs, bytes } = bundle("src/core/ring.ts")
    assert.deepEqual(
      inputs.filter((path) => !path.startsWith("src/core/")),
      [],
    )
    assert.ok(bytes <= 3072, `${bytes} bytes`)
  })

  test("can't be made of a transport that needs a host", () => {
    assert.throws(() => bundle("transports/tcp.ts"), /node:net/)
  })
})

/** The files in a bundle for a browser, and its minified size with gzip. Throws on node: modules. */
function bundle(path: string): { readonly inputs: ReadonlyArray<string>; readonly bytes: number } {
  const { metafile, outputFiles } = buildSync({
    absWorkingDir: root,
    entryPoints: [path],
    bundle: true,
    platform: "browser",
    format: "esm",
    minify: true,
    metafile: true,
    write: false,
    logLevel: "silent",
  })
  const bytes = outputFiles.reduce((sum, { contents }) => sum + gzipSync(contents).length, 0)
  return { inputs: Object.keys(metafile.inputs), bytes }
}
