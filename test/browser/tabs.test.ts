/** Tabs of a real browser as nodes of one cluster. */
import assert from "node:assert/strict"
import { describe, test } from "node:test"
import type { Page } from "playwright-core"
import { startNode } from "../../mod.ts"
import { webSocketServer } from "../../transports/websocket-server.ts"
import { ask, type Global, installed, live, settled, window } from "./harness.ts"
import { Counter, News } from "./page.ts"

const keys = Array.from({ length: 100 }, (_, i) => `${i}`)
const ones = keys.map((_, i) => i + 1)
const entry = "test/browser/page.ts"

/** Counters that have counted to one more than their number. */
async function counters(page: Page): Promise<void> {
  await ask(page, "start", keys)
  await Promise.all(keys.map((key, i) => ask(page, "add", key, i + 1)))
}

/** Three tabs that are members of one cluster. */
async function three(
  chromium: Awaited<ReturnType<typeof window>>,
): Promise<readonly [Page, Page, Page]> {
  const names = ["a", "b", "c"]
  const pages = await Promise.all(names.map((name) => chromium.open({ name, channel: "app" })))
  await settled(pages, names)
  return pages as [Page, Page, Page]
}

if (installed)
  describe("tabs", () => {
    test("form a cluster, hold a hundred counters, and lose none when one closes", async () => {
      await using chromium = await window(entry)
      const [a, b, c] = await three(chromium)
      await counters(a)
      for (const page of [a, b, c]) assert.deepEqual(await ask(page, "counts", keys), ones)
      const homes = await ask(b, "homes", keys)
      assert.deepEqual([...new Set(homes)].sort(), ["a", "b", "c"])

      // A planned close: what it had is handed over, with its state.
      await ask(a, "leave")
      await a.close()
      await settled([b, c], ["b", "c"])
      await live(b, keys, ["b", "c"])
      for (const page of [b, c]) assert.deepEqual(await ask(page, "counts", keys), ones)
    })

    test("lose none either when one is closed just so: it has time for a last word", async () => {
      await using chromium = await window(entry)
      const [a, b, c] = await three(chromium)
      await counters(a)
      const homes = await ask(b, "homes", keys)
      assert.ok(homes.includes("a"))
      await a.close({ runBeforeUnload: true })
      await settled([b, c], ["b", "c"])
      await live(b, keys, ["b", "c"])
      await live(c, keys, ["b", "c"])
      for (const page of [b, c]) assert.deepEqual(await ask(page, "counts", keys), ones)
    })

    test("take over what a tab had whose renderer was killed, at once", async () => {
      await using chromium = await window(entry)
      const [a, b, c] = await three(chromium)
      await counters(a)
      const homes = await ask(b, "homes", keys)
      const crashed = new Promise((resolve) => a.once("crash", resolve))
      const devtools = await chromium.context.newCDPSession(a)
      devtools.send("Page.crash").catch(() => {})
      await crashed
      const from = performance.now()
      await settled([b, c], ["b", "c"])
      await live(b, keys, ["b", "c"])
      await live(c, keys, ["b", "c"])
      console.log(`# all taken over after ${Math.round(performance.now() - from)} ms`)
      // Exactly one of each, at the same node for both; those of the others have kept their state.
      assert.deepEqual(await ask(b, "homes", keys), await ask(c, "homes", keys))
      const counts = await ask(b, "counts", keys)
      assert.equal(counts.length, 100)
      for (const [i, count] of counts.entries())
        assert.equal(count, homes[i] === "a" ? 0 : i + 1, keys[i])
    })

    test("that nobody sees stay members, and answer", async () => {
      await using chromium = await window(entry)
      const [a, b, c] = await three(chromium)
      await counters(a)
      for (const page of [a, b]) await page.evaluate(throttle)
      // So many polls later they would have been removed twice over.
      await c.evaluate(answers, { channel: "app", nodes: 3, posts: 10 })
      for (const page of [a, b, c]) assert.deepEqual(await ask(page, "members"), ["a", "b", "c"])
      assert.deepEqual(await ask(c, "counts", keys), ones)
      for (const page of [a, b]) assert.deepEqual(await ask(page, "counts", keys), ones)
    })

    test("and a server share one registry and one topic", async () => {
      await using chromium = await window(entry)
      const { origin } = new URL(chromium.url)
      const transport = webSocketServer({ port: 0, origins: [origin] })
      await using server = await startNode({
        name: "server",
        transport,
        cookie: "secret",
        processes: [Counter],
      })
      const options = { channel: "app", server: server.address }
      const [a, b] = (await Promise.all(
        ["a", "b"].map((name) => chromium.open({ name, ...options, host: true })),
      )) as [Page, Page]
      await settled([a, b], ["a", "b", "server"])
      await server.settled()

      // One registry: what one starts all find, wherever it is.
      await counters(a)
      const homes = await ask(b, "homes", keys)
      assert.deepEqual([...new Set(homes)].sort(), ["a", "b", "server"])
      for (const [i, key] of keys.entries())
        assert.equal(await server.ref(Counter, key).get(), i + 1)

      // One topic.
      const heard: Array<string> = []
      await server.subscribe(News, (text) => {
        heard.push(text)
      })
      for (const page of [a, b]) await ask(page, "subscribe")
      while (server.publish(News, "who is there?") < 3) await turn()
      for (const page of [a, b]) await page.waitForFunction(knock, 3, { polling: 20 })
      await ask(a, "publish", "from a")
      await ask(b, "publish", "from b")
      server.publish(News, "from the server")
      const texts = ["from a", "from b", "from the server"]
      while (!texts.every((text) => heard.includes(text))) await turn()
      for (const page of [a, b]) await page.waitForFunction(hears, texts, { polling: 20 })

      // A tab that leaves hands over to the others, the server among them.
      await ask(a, "leave")
      await a.close()
      await settled([b], ["b", "server"])
      assert.deepEqual(await ask(b, "counts", keys), ones)

      // One that is closed just so has time for a last word over its WebSocket as well.
      const alone = new Promise<void>((resolve) => server.on({ MemberDown: () => resolve() }))
      await b.close({ runBeforeUnload: true })
      await alone
      for (const [i, key] of keys.entries())
        assert.equal(await server.ref(Counter, key).get(), i + 1)
    })
  })

function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}

/** Whether a tab reaches so many nodes. */
function knock(nodes: number): boolean {
  return (globalThis as unknown as Global).tab.publish("who is there?") === nodes
}

function hears(texts: ReadonlyArray<string>): boolean {
  const heard = (globalThis as unknown as Global).tab.heard()
  return texts.every((text) => heard.includes(text))
}

/** Timers of a tab that nobody sees, once the browser has become strict with it: they fire once a minute. */
function throttle(): void {
  const real = setTimeout
  const late = (run: () => void, millis = 0): unknown => {
    const now = Date.now()
    return real(run, Math.ceil((now + millis) / 60_000) * 60_000 - now)
  }
  Object.assign(globalThis, { setTimeout: late, setInterval: late })
}

/** Resolves once each of so many nodes has posted so often on the channel. */
function answers(given: { channel: string; nodes: number; posts: number }): Promise<void> {
  const counts = new Map<string, number>()
  const spy = new BroadcastChannel(given.channel)
  return new Promise((resolve) => {
    spy.onmessage = ({ data }) => {
      const { from } = data as { readonly from: string }
      counts.set(from, (counts.get(from) ?? 0) + 1)
      const often = [...counts.values()].filter((count) => count >= given.posts)
      if (often.length < given.nodes) return
      spy.close()
      resolve()
    }
  })
}
