/**
 * The page: members, tiles in the colours of their tabs, and what happens.
 *
 * @module
 */

/** Names of colours, which tabs are named for. The page's style has the colours. */
export const colours: ReadonlyArray<string> = [
  ...["coral", "amber", "lime", "teal", "sky", "indigo", "violet", "rose"],
]

/** What is to be seen. */
export interface Snapshot {
  readonly members: ReadonlyArray<string>
  readonly tiles: ReadonlyArray<{
    readonly tile: string
    readonly owner: string | undefined
    readonly count: number
  }>
}

/** What a person can do. */
export interface Actions {
  readonly click: (tile: string) => Promise<void>
  readonly leave: () => Promise<void>
}

const NEWS_MAX = 12

/** The page of one tab. */
export class View {
  readonly #self: string
  readonly #tiles = new Map<string, HTMLButtonElement>()
  readonly #actions: Actions
  #news: Array<{ text: string; times: number }> = []

  constructor(self: string, actions: Actions) {
    this.#self = self
    this.#actions = actions
    document.title = `${self} · tabs`
    document.documentElement.dataset.colour = colourOf(self)
    element("self").textContent = self
    element("leave").addEventListener("click", () => void actions.leave())
    element("open").addEventListener("click", () =>
      window.open(location.href, "_blank", "noopener"),
    )
  }

  /** Shows it. */
  draw({ members, tiles }: Snapshot): void {
    const owned = new Map<string, number>()
    for (const { owner = "" } of tiles) owned.set(owner, (owned.get(owner) ?? 0) + 1)
    element("members").replaceChildren(
      ...members.map((member) => {
        const item = document.createElement("li")
        item.dataset.colour = colourOf(member)
        item.textContent = `${member}${member === this.#self ? " (this tab)" : ""} · ${owned.get(member) ?? 0}`
        return item
      }),
    )
    for (const { tile, owner, count } of tiles) {
      const button = this.#tile(tile)
      button.dataset.colour = owner === undefined ? "none" : colourOf(owner)
      button.classList.toggle("here", owner === this.#self)
      button.title =
        owner === undefined ? `tile ${tile} is on its way` : `tile ${tile} lives in ${owner}`
      button.setAttribute("aria-label", `${button.title}, ${count} clicks`)
      button.textContent = `${count}`
    }
  }

  /** A tile was clicked in some tab: it lights up. */
  changed(tile: string, by: string): void {
    const colour = `var(--${colourOf(by)})`
    const frames = [{ boxShadow: `0 0 0 4px ${colour}` }, { boxShadow: "0 0 0 12px transparent" }]
    this.#tile(tile).animate(frames, { duration: 500, easing: "ease-out" })
  }

  /** Adds to what happens. Alike things are counted. */
  say(text: string): void {
    const kind = text.replace(/^tile \d+/, "a tile")
    const [last] = this.#news
    if (last !== undefined && last.text === kind) last.times++
    else this.#news.unshift({ text: kind, times: 1 })
    this.#news = this.#news.slice(0, NEWS_MAX)
    element("news").replaceChildren(
      ...this.#news.map(({ text, times }) => {
        const item = document.createElement("li")
        item.textContent = times === 1 ? text : `${text} (${times} times)`
        return item
      }),
    )
  }

  /** This tab is no member any more. */
  left(): void {
    document.body.classList.add("left")
    this.say("this tab has left: you may close it")
  }

  #tile(tile: string): HTMLButtonElement {
    const known = this.#tiles.get(tile)
    if (known !== undefined) return known
    const button = document.createElement("button")
    button.addEventListener("click", () => void this.#actions.click(tile))
    this.#tiles.set(tile, button)
    element("tiles").append(button)
    return button
  }
}

function colourOf(member: string): string {
  return member.slice(0, member.indexOf("-"))
}

function element(id: string): HTMLElement {
  const found = document.getElementById(id)
  if (found === null) throw new Error(`BUG: the page has no ${id}`)
  return found
}
