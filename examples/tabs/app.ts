/**
 * One tab: a node of the cluster of all tabs, and what there is to see of it.
 *
 * @module
 */
import { type Node, type NodeEvent, startNode } from "skein"
import { broadcastChannel } from "skein/transports/broadcast-channel"
import { Changes, known, learn, Tile, tiles } from "./tiles.ts"
import { colours, View } from "./view.ts"

/** A name for this tab, with the colour that comes after that of the tab opened before. */
function name(): string {
  const opened = Number(localStorage.getItem("opened") ?? 0)
  localStorage.setItem("opened", `${opened + 1}`)
  const colour = colours[opened % colours.length]
  return `${colour}-${Math.random().toString(36).slice(2, 5)}`
}

async function run(): Promise<void> {
  const node = await startNode({
    name: name(),
    transport: broadcastChannel({ name: "skein-tabs" }),
    processes: [Tile],
  })
  const view = new View(node.name, {
    click: (tile) => click(node, tile),
    leave: () => leave(node, view),
  })
  await node.subscribe(Changes, ({ tile, n, by }) => {
    learn(tile, n)
    view.changed(tile, by)
    view.say(`tile ${tile} was clicked in ${by}`)
    draw()
  })
  const draw = (): void => view.draw(snapshot(node))
  void follow(node, view, draw)
  // Whichever tab is first starts them all; for the others they are there already.
  await Promise.all(tiles.map((tile) => node.start(Tile, tile)))
  const counts = await Promise.all(tiles.map((tile) => node.ref(Tile, tile).read()))
  for (const [i, tile] of tiles.entries()) learn(tile, counts[i] ?? 0)
  draw()
  // Where others' tiles live isn't told by events of this node.
  setInterval(draw, 300)
}

async function click(node: Node, tile: string): Promise<void> {
  const n = await node.ref(Tile, tile).click()
  node.publish(Changes, { tile, n, by: node.name })
}

async function leave(node: Node, view: View): Promise<void> {
  view.say("this tab hands over what it has, and leaves")
  await node.leave()
  view.left()
}

/** What is so now, as this tab knows. */
function snapshot(node: Node): Parameters<View["draw"]>[0] {
  return {
    members: node
      .members()
      .filter(({ status }) => status === "up" || status === "suspect")
      .map(({ name }) => name),
    tiles: tiles.map((tile) => ({
      tile,
      owner: node.whereis(Tile, tile)?.node,
      count: known.get(tile) ?? 0,
    })),
  }
}

async function follow(node: Node, view: View, draw: () => void): Promise<void> {
  for await (const event of node.events()) {
    const text = tell(event)
    if (text !== undefined) view.say(text)
    draw()
  }
}

function tell(event: NodeEvent): string | undefined {
  switch (event._tag) {
    case "MemberUp":
      return `${event.node} opened`
    case "MemberLeft":
      return `${event.node} left, and handed over what it had`
    case "MemberDown":
      return `${event.node} is gone`
    case "ProcessStarted":
      return `tile ${event.process.replace("Tile/", "")} lives here now`
    default:
      return undefined
  }
}

void run()
