// Adds up what the three test runners reported: node .ci/count.mjs DIRECTORY [STEP THAT FAILED]...
// A step that failed without a failing test counts as one failure. Ends with `N passed, N failed`.
import { existsSync, readFileSync } from "node:fs"
import { join } from "node:path"

const [directory = ".", ...steps] = process.argv.slice(2)
const runners = ["bun", "hunts", "deno", "node"]
const total = { passed: 0, failed: 0 }

for (const runner of runners) {
  const file = join(directory, `${runner}.xml`)
  const { passed, failed } = existsSync(file)
    ? count(readFileSync(file, "utf8"))
    : { passed: 0, failed: 0 }
  console.log(`${runner}: ${passed} passed, ${failed} failed`)
  total.passed += passed
  total.failed += failed
  const title = runner === "hunts" ? "planted bugs" : `tests on ${runner}`
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
