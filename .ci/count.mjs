// Adds up what the three test runners reported: node .ci/count.mjs DIRECTORY [STEP THAT FAILED]...
// A step that failed without a failing test counts as one failure. Ends with `N passed, N failed`.
import { readdirSync, readFileSync } from "node:fs"
import { join } from "node:path"

const [directory = ".", ...steps] = process.argv.slice(2)
// Beginnings of the reports' names, and of those of their steps.
const reports = {
  "bun.": "tests on bun",
  "bun-over-": "the runtime over other transports on bun",
  "hunts.": "planted bugs",
  "deno.": "tests on deno",
  "deno-over-": "the runtime over other transports on deno",
  "node.": "tests on node",
  "node-over-": "the runtime over other transports on node",
}
const total = { passed: 0, failed: 0 }

const files = readdirSync(directory).filter((name) => name.endsWith(".xml"))
for (const [beginning, title] of Object.entries(reports)) {
  let passed = 0
  let failed = 0
  for (const name of files.filter((one) => one.startsWith(beginning))) {
    const counted = count(readFileSync(join(directory, name), "utf8"))
    passed += counted.passed
    failed += counted.failed
  }
  console.log(`${title}: ${passed} passed, ${failed} failed`)
  total.passed += passed
  total.failed += failed
  const step = steps.findIndex((name) => name.toLowerCase().startsWith(title))
  if (step >= 0 && failed > 0) steps.splice(step, 1)
  // A runner that found nothing to run is no success, whatever it exited with.
  else if (step < 0 && passed === 0) steps.push(`${title}: there were none`)
}

for (const step of steps) console.log(`failed: ${step}`)
total.failed += steps.length
console.log(`${total.passed} passed, ${total.failed} failed`)
process.exitCode = total.failed === 0 ? 0 : 1

/** Counts the test cases of a JUnit report. */
function count(report) {
  const cases = Array.from(
    report.matchAll(/<testcase\s[^>]*?name="([^"]*)"[^>]*?(?:\/>|>([\s\S]*?)<\/testcase>)/g),
    ([, name, body = ""]) => ({ name, failed: /<(failure|error)\b/.test(body) }),
  )
  // Deno reports a suite as a test case too, whose name the names of its tests start with.
  const suites = new Set(cases.flatMap(({ name }) => prefixes(name)))
  const tests = cases.filter(({ name }) => !suites.has(name))
  const failed = tests.filter((test) => test.failed).length
  return { passed: tests.length - failed, failed }
}

function prefixes(name) {
  const parts = name.split(" &gt; ")
  return parts.slice(1).map((_, i) => parts.slice(0, i + 1).join(" &gt; "))
}
