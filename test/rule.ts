/** A rule that the project's own files obey, and the two tests that it takes to be sure of it. */
import assert from "node:assert/strict"
import { test } from "node:test"
import { list, load, parse, type Source } from "./source.ts"

/** What every file, looked at alone, has to fulfil. */
export interface Rule {
  /** A sentence about the project. */
  readonly claim: string
  /** The files and directories it holds for. */
  readonly paths: ReadonlyArray<string>
  /** What is wrong with a file, each in a few words; nothing when it is right. */
  readonly complain: (source: Source) => ReadonlyArray<string>
  /** Path and text of files that are right. */
  readonly obeys: ReadonlyArray<readonly [path: string, text: string]>
  /** Path and text of files that are wrong, each for one reason. */
  readonly breaks: ReadonlyArray<readonly [path: string, text: string]>
}

/** Tests that every file of the project obeys the rule, and that the rule tells right from wrong. */
export function enforce(rule: Rule): void {
  test(rule.claim, () => {
    const files = list(...rule.paths)
    const wrong = files.flatMap((path) =>
      rule.complain(load(path)).map((complaint) => `${path}: ${complaint}`),
    )
    assert.deepEqual(wrong, [])
  })

  test(`${rule.claim}: the check can tell`, () => {
    for (const [path, text] of rule.obeys) {
      assert.deepEqual(rule.complain(parse(path, text)), [], `${path}: ${text}`)
    }
    for (const [path, text] of rule.breaks) {
      assert.notDeepEqual(rule.complain(parse(path, text)), [], `${path}: ${text}`)
    }
  })
}

/** A complaint for every place of `text` where one of the patterns matches, with its line. */
export function findings(text: string, patterns: ReadonlyArray<RegExp>): ReadonlyArray<string> {
  return patterns.flatMap((pattern) =>
    Array.from(text.matchAll(pattern), (match) => {
      const line = text.slice(0, match.index).split("\n").length
      return `line ${line} has \`${match[0].trim()}\``
    }),
  )
}
