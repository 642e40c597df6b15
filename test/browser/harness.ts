/**
 * Tabs of a real Chromium, whose pages are served from here.
 *
 * @module
 */
import { existsSync } from "node:fs"
import { createServer } from "node:http"
import type { AddressInfo } from "node:net"
import { build } from "esbuild"
import { type Browser, type BrowserContext, chromium, type Page } from "playwright-core"
import type { Tab, TabOptions } from "./page.ts"

/** Where Debian has it. */
const CHROMIUM = "/usr/bin/chromium"

/** Whether there is a browser; says so loudly when there isn't. */
export const installed: boolean = existsSync(CHROMIUM)
if (!installed) console.log("skipped: tests in a browser, as Chromium is not installed")

/** A browser, and a server of one page and its scripts. */
export interface Window extends AsyncDisposable {
  readonly browser: Browser
  readonly context: BrowserContext
  /** The page's address. */
  readonly url: string
  /** One more tab, whose node is started unless there is nothing to start it with. */
  open(options?: TabOptions): Promise<Page>
}

/** A browser without a page. */
export function launch(): Promise<Browser> {
  return chromium.launch({
    executablePath: CHROMIUM,
    args: [
      "--no-sandbox",
      "--disable-gpu",
      "--disable-quic",
      "--no-first-run",
      "--disable-background-networking",
      "--disable-component-update",
      "--disable-sync",
    ],
    // Playwright keeps background tabs awake, and browsers don't.
    ignoreDefaultArgs: [
      "--disable-background-timer-throttling",
      "--disable-backgrounding-occluded-windows",
      "--disable-renderer-backgrounding",
    ],
  })
}

/** Starts a browser whose page runs the script `entry`, a path from the project's root. */
export async function window(entry: string): Promise<Window> {
  const bundle = await build({
    entryPoints: [entry],
    bundle: true,
    format: "esm",
    platform: "browser",
    target: "es2022",
    write: false,
    logLevel: "silent",
  })
  const script = bundle.outputFiles[0]?.text ?? ""
  const html = `<!doctype html><title>Skein</title><script type="module" src="/page.js"></script>`
  const server = createServer(({ url }, response) => {
    const [type, body] = url === "/page.js" ? ["text/javascript", script] : ["text/html", html]
    response.writeHead(200, { "content-type": `${type}; charset=utf-8` }).end(body)
  })
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`
  const browser = await launch()
  const context = await browser.newContext()
  return {
    browser,
    context,
    url,
    open: async (options) => {
      const page = await context.newPage()
      await page.goto(url)
      if (options !== undefined) await begin(page, options)
      return page
    },
    [Symbol.asyncDispose]: async () => {
      await browser.close()
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

/** What the page has put there. */
export type Global = { readonly tab: Tab; begin(options: TabOptions): Promise<void> }

async function begin(page: Page, options: TabOptions): Promise<void> {
  await page.waitForFunction(() => "begin" in globalThis)
  await page.evaluate((given) => (globalThis as unknown as Global).begin(given), options)
}

/** Calls a method of the page's tab. */
export function ask<K extends keyof Tab>(
  page: Page,
  method: K,
  ...args: Parameters<Tab[K]>
): Promise<Awaited<ReturnType<Tab[K]>>> {
  return page.evaluate(
    ([name, given]) => {
      const { tab } = globalThis as unknown as {
        tab: Record<string, (...args: unknown[]) => unknown>
      }
      return tab[name]?.(...given)
    },
    [method, args] as const,
  ) as Promise<Awaited<ReturnType<Tab[K]>>>
}

/** Waits until each of the pages sees exactly these members up, and nothing is on the move. */
export async function settled(
  pages: ReadonlyArray<Page>,
  names: ReadonlyArray<string>,
): Promise<void> {
  for (const page of pages) {
    await page.waitForFunction(
      (wanted) => (globalThis as unknown as Global).tab.members().join() === wanted,
      [...names].sort().join(),
      { polling: 20 },
    )
  }
  for (const page of pages) await ask(page, "settled")
}

/** Waits until each of the keys lives at one of these nodes, as the page knows. */
export async function live(
  page: Page,
  keys: ReadonlyArray<string>,
  nodes: ReadonlyArray<string>,
): Promise<void> {
  await page.waitForFunction(
    ([wanted, at]) =>
      (globalThis as unknown as Global).tab.homes(wanted).every((node) => at.includes(node ?? "")),
    [keys, nodes] as const,
    { polling: 20 },
  )
}
