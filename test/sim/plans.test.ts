/**
 * Plans that failed once. Each is named after its suite and what was wrong: what it found is fixed, and it
 * has to pass from now on.
 */
import assert from "node:assert/strict"
import { readdirSync, readFileSync } from "node:fs"
import { describe, test } from "node:test"
import { Simulation } from "skein/testing"
import { suites } from "./suites.ts"

const directory = new URL("./plans/", import.meta.url)

describe("plans that failed once pass", () => {
  for (const file of readdirSync(directory).sort()) {
    test(file, async () => {
      const suite = suites.find(({ name }) => file.startsWith(`${name}-`))
      assert.ok(suite, `no suite is named as ${file} begins`)
      const plan = readFileSync(new URL(file, directory), "utf8")
      await Simulation.replay(suite, plan, { directory: false })
    })
  }
})
