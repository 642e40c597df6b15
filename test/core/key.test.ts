import assert from "node:assert/strict"
import { describe, test } from "node:test"
import fc from "fast-check"
import * as Key from "../../src/core/key.ts"

/** Strings of what matters to the notation, surrogates whole and halved included. */
const string = fc.string({
  unit: fc.constantFrom(...'~"\\[],n10.-eud8a \n\0\x7f\uffff\ud83d\ude00', "é", "😀"),
  maxLength: 8,
})
const scalar = fc.oneof(
  string,
  fc.double({ noNaN: true, noDefaultInfinity: true }),
  fc.integer(),
  fc.bigInt({ min: -(2n ** 70n), max: 2n ** 70n }),
  fc.boolean(),
)
const { key } = fc.letrec<{ key: Key.Key; keys: Array<Key.Key> }>((tie) => ({
  key: fc.oneof({ maxDepth: 4 }, scalar, tie("keys")),
  keys: fc.array(tie("key"), { maxLength: 3 }),
}))
const valid = key.filter((one) => one !== "" && Key.text([one]).length < Key.TEXT_MAX)

/** Equality of keys by their definition: -0 is 0, and nothing else is anything else. */
function same(a: Key.Key, b: Key.Key): boolean {
  if (Array.isArray(a) && Array.isArray(b))
    return a.length === b.length && a.every((part, i) => same(part, b[i]))
  return a === b
}

/** What `startsWith` promises, from its definition. */
function begins(prefix: Key.Key, whole: Key.Key): boolean {
  if (typeof prefix === "string") return typeof whole === "string" && whole.startsWith(prefix)
  if (!Array.isArray(prefix)) return same(prefix, whole)
  return Array.isArray(whole) && prefix.every((part, i) => i < whole.length && same(part, whole[i]))
}

describe("a key", () => {
  test("has the text that the documentation shows", () => {
    const texts: ReadonlyArray<readonly [Key.Key, string]> = [
      ["user-42", "user-42"],
      [42, "~42"],
      [-0, "~0"],
      [1.5, "~1.5"],
      [1e21, "~1e+21"],
      [7n, "~7n"],
      [-7n, "~-7n"],
      [true, "~true"],
      [["room", 42, 7n, true, ["a"]], '~["room",42,7n,true,["a"]]'],
      [[], "~[]"],
      ["~", '~"~"'],
      ['~"\\\n', '~"~\\"\\\\\\n"'],
    ]
    for (const [one, text] of texts) {
      assert.equal(Key.text(one), text)
      assert.deepEqual(Key.parse(text), one === 0 ? 0 : one)
    }
  })

  test("is found again from its text", () => {
    fc.assert(
      fc.property(valid, (one) => {
        assert.ok(same(Key.parse(Key.text(one)), one))
      }),
      { numRuns: 2_000 },
    )
  })

  test("has the text of another one only if they are equal", () => {
    fc.assert(
      fc.property(valid, valid, (a, b) => {
        assert.equal(Key.text(a) === Key.text(b), same(a, b))
        assert.equal(Key.equals(a, b), same(a, b))
      }),
      { numRuns: 2_000 },
    )
    const alike: ReadonlyArray<Key.Key> = [
      "1",
      1,
      1n,
      "1n",
      true,
      "true",
      ["1"],
      [1],
      [[1]],
      [],
      "[]",
    ]
    assert.equal(new Set(alike.map(Key.text)).size, alike.length)
  })

  test("is nothing that isn't one", () => {
    const wrong: ReadonlyArray<unknown> = [
      Number.NaN,
      Number.POSITIVE_INFINITY,
      [Number.NEGATIVE_INFINITY],
      undefined,
      null,
      {},
      [{}],
      [undefined],
      // biome-ignore lint/suspicious/noSparseArray: a hole is what is tested
      [, 1],
      Symbol("key"),
      () => {},
      "",
      "x".repeat(Key.TEXT_MAX + 1),
      `~${"x".repeat(Key.TEXT_MAX - 2)}`,
    ]
    for (const one of wrong) assert.throws(() => Key.text(one as Key.Key), TypeError, String(one))
    const loop: Array<unknown> = []
    loop.push(loop)
    assert.throws(() => Key.text(loop as Array<Key.Key>), TypeError)
  })

  test("may be as long and as deep as is said", () => {
    assert.equal(Key.text("x".repeat(Key.TEXT_MAX)).length, Key.TEXT_MAX)
    assert.equal(Key.text(`~${"x".repeat(Key.TEXT_MAX - 4)}`).length, Key.TEXT_MAX)
    const nested = (depth: number): Key.Key => (depth === 0 ? [] : [nested(depth - 1)])
    const deepest = nested(Key.DEPTH_MAX - 1)
    assert.deepEqual(Key.parse(Key.text(deepest)), deepest)
    assert.throws(() => Key.text(nested(Key.DEPTH_MAX)), TypeError)
    assert.throws(() => Key.parse(`~${"[".repeat(17)}${"]".repeat(17)}`), TypeError)
  })
})

describe("a text", () => {
  test("that no key has is refused, however it is malformed", () => {
    const wrong = [
      "",
      "x".repeat(Key.TEXT_MAX + 1),
      `~"~${"x".repeat(Key.TEXT_MAX)}"`,
      "~",
      "~x",
      '~"x"',
      '~"~',
      '~"~\\u0041"',
      '~"~\\ud83d"',
      "~-0",
      "~-0n",
      "~01",
      "~1.0",
      "~1e21",
      "~+1",
      "~.5",
      "~NaN",
      "~Infinity",
      "~007n",
      "~null",
      "~{}",
      "~[1, 2]",
      "~[1,]",
      "~[,1]",
      "~[,]",
      "~[1",
      "~[1]]",
      "~[1]x",
      "~truefalse",
      '~["a\n"]',
    ]
    for (const text of wrong) assert.throws(() => Key.parse(text), TypeError, JSON.stringify(text))
  })

  test("of any kind gives the key whose text it is, or a TypeError", () => {
    const notation = fc.string({
      unit: fc.constantFrom(...'~"\\[],n10.-eu d8atrfls'),
      maxLength: 12,
    })
    fc.assert(
      fc.property(notation, (text) => {
        let parsed: Key.Key
        try {
          parsed = Key.parse(text)
        } catch (error) {
          return assert.ok(error instanceof TypeError)
        }
        assert.equal(Key.text(parsed), text)
      }),
      { numRuns: 5_000 },
    )
  })
})

describe("a prefix", () => {
  test("is told from what a key is, not from how it is written", () => {
    const cases: ReadonlyArray<readonly [prefix: Key.Key, whole: Key.Key, is: boolean]> = [
      ["", "a", true],
      ["", "~a", true],
      ["", "\x7f", true],
      ["", ["a"], false],
      ["", 1, false],
      ["a", "ab", true],
      ["ab", "a", false],
      ["a", ["a"], false],
      ["~", "~a", true],
      ["~", 42, false],
      ["~4", 42, false],
      ["~\ud83d", "~😀", true],
      ["~\ud83d", "~\ud83d", true],
      [4, 42, false],
      [4, 4, true],
      [true, true, true],
      [[], [], true],
      [[], [1], true],
      [[], "[", false],
      [[4], [4], true],
      [[4], [4, 2], true],
      [[4], [42], false],
      [[4], [4.5], false],
      [["a"], ["ab"], false],
      [["a"], ["a", "b"], true],
      [["a", ["b"]], ["a", ["b"], "c"], true],
      [["a", ["b"]], ["a", ["b", "c"]], false],
    ]
    for (const [prefix, whole, is] of cases) {
      const told = Key.startsWith(prefix)(Key.text(whole))
      assert.equal(told, is, `${Key.text(["", prefix])} ${Key.text(whole)}`)
    }
  })

  test("of any kind is told as its definition says", () => {
    const pair = fc.oneof(
      fc.tuple(key, valid),
      // Such as have something in common.
      valid.chain((whole): fc.Arbitrary<[Key.Key, Key.Key]> => {
        if (typeof whole !== "string" && !Array.isArray(whole)) return fc.constant([whole, whole])
        const cut = fc.nat({ max: whole.length })
        return cut.map((length): [Key.Key, Key.Key] => [whole.slice(0, length), whole])
      }),
    )
    fc.assert(
      fc.property(pair, ([prefix, whole]) => {
        assert.equal(Key.startsWith(prefix)(Key.text(whole)), begins(prefix, whole))
      }),
      { numRuns: 5_000 },
    )
  })

  test("gives spans in ascending order that don't overlap", () => {
    fc.assert(
      fc.property(key, (prefix) => {
        let last = ""
        for (const [i, { from, to }] of Key.spans(prefix).entries()) {
          assert.ok(i === 0 || from >= last)
          assert.ok(to === undefined || to > from)
          last = to ?? last
        }
      }),
    )
  })
})
