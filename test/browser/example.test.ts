/** The example of tabs, as a person uses it. */
import assert from "node:assert/strict"
import { describe, test } from "node:test"
import type { Page } from "playwright-core"
import { serve } from "../../examples/tabs/serve.ts"
import { installed, launch } from "./harness.ts"

/** In which tab each of the tiles lives. */
function homes(page: Page): Promise<ReadonlyArray<string>> {
  return page.$$eval("#tiles button", (buttons) =>
    buttons.map((button) => (button as HTMLElement).title.replace(/.* in /, "")),
  )
}

/** Waits until the page shows so many tabs, that share all tiles. */
async function shared(page: Page, tabs: number): Promise<void> {
  await page.waitForFunction(
    (wanted) => {
      const members = [...document.querySelectorAll("#members li")]
      const counts = members.map(({ textContent }) => Number(/\d+$/.exec(textContent ?? "")?.[0]))
      const sum = counts.reduce((total, count) => total + count, 0)
      return members.length === wanted && sum === 48 && counts.every((count) => count > 0)
    },
    tabs,
    { polling: 50 },
  )
}

/** Waits until the tiles show these counts. */
async function shows(page: Page, counts: ReadonlyArray<string>): Promise<void> {
  await page.waitForFunction(
    (wanted) =>
      [...document.querySelectorAll("#tiles button")].map((one) => one.textContent).join() ===
      wanted,
    counts.join(),
    { polling: 50 },
  )
}

if (installed)
  describe("examples/tabs", () => {
    test("three tabs share the tiles; one leaves, one is killed, and no click is lost", async () => {
      const { url, server } = await serve(0)
      await using browser = await launch()
      const context = await browser.newContext({ viewport: { width: 1100, height: 800 } })
      const errors: Array<string> = []
      const open = async (): Promise<Page> => {
        const page = await context.newPage()
        page.on("pageerror", (error) => errors.push(String(error)))
        await page.goto(url)
        return page
      }
      const a = await open()
      await shared(a, 1)
      const b = await open()
      const c = await open()
      for (const page of [a, b, c]) await shared(page, 3)

      for (const page of [a, b, c]) {
        await page.$$eval("#tiles button", (buttons) => {
          for (const button of buttons.slice(0, 24)) (button as HTMLElement).click()
        })
      }
      const counts = Array.from({ length: 48 }, (_, i) => (i < 24 ? "3" : "0"))
      for (const page of [a, b, c]) await shows(page, counts)
      const { SKEIN_SCREENSHOTS: directory } = process.env
      if (directory !== undefined) {
        await c.screenshot({ path: `${directory}/tabs.png` })
        await c.emulateMedia({ colorScheme: "dark" })
        await c.setViewportSize({ width: 400, height: 800 })
        await c.screenshot({ path: `${directory}/tabs-dark.png` })
      }

      await a.click("#leave")
      await a.waitForSelector("body.left")
      await a.close()
      for (const page of [b, c]) {
        await shared(page, 2)
        await shows(page, counts)
      }
      const crashed = new Promise((resolve) => b.once("crash", resolve))
      const devtools = await context.newCDPSession(b)
      devtools.send("Page.crash").catch(() => {})
      await crashed
      await shared(c, 1)
      await (await c.$$("#tiles button"))[0]?.click()
      await shows(c, ["4", ...counts.slice(1)])
      assert.equal(new Set(await homes(c)).size, 1)
      assert.deepEqual(errors, [])
      await browser.close()
      server.closeAllConnections()
      server.close()
    })
  })
