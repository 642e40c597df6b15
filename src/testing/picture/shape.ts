/**
 * The strokes that a picture of a run is drawn with, as SVG, and the escaping of its words.
 *
 * @module
 */

/** A point of a picture, in pixels. */
export interface Point {
  readonly x: number
  readonly y: number
}

/** The text with nothing in it that means something in HTML, neither as content nor in quotes. */
export function safe(text: string): string {
  return text.replace(/[&<>"'`]/g, (character) => `&#${character.charCodeAt(0)};`)
}

/** A number with one decimal at most. */
export function round(value: number): number {
  return Math.round(value * 10) / 10
}

/** A straight line. */
export function line(from: Point, to: Point): string {
  const [x, y] = [round(to.x), round(to.y)]
  return `<path class="stroke" d="M${round(from.x)} ${round(from.y)}L${x} ${y}"/>`
}

/** A line with a head at its end. */
export function arrow(from: Point, to: Point): string {
  const [dx, dy] = [to.x - from.x, to.y - from.y]
  const length = Math.sqrt(dx * dx + dy * dy) || 1
  const [ux, uy] = [dx / length, dy / length]
  const [x, y] = [to.x - 9 * ux, to.y - 9 * uy]
  const one = `${round(x - 3.5 * uy)} ${round(y + 3.5 * ux)}`
  const other = `${round(x + 3.5 * uy)} ${round(y - 3.5 * ux)}`
  const head = `<path class="fill" d="M${round(to.x)} ${round(to.y)}L${one}L${other}z"/>`
  return `${line(from, { x, y })}${head}`
}

/** A cross, where something ended that shouldn't have. */
export function cross({ x, y }: Point, size: number = 5): string {
  const [left, right] = [round(x - size), round(x + size)]
  const [top, bottom] = [round(y - size), round(y + size)]
  const [down, up] = [`M${left} ${top}L${right} ${bottom}`, `M${left} ${bottom}L${right} ${top}`]
  return `<path class="mark" d="${down}${up}"/>`
}

/** Two bars, where something waits. */
export function bars({ x, y }: Point): string {
  const [top, bottom] = [round(y - 4.5), round(y + 4.5)]
  const bar = (at: number): string => `M${round(at)} ${top}V${bottom}`
  return `<path class="mark" d="${bar(x - 2)}${bar(x + 2)}"/>`
}

/** A disc. */
export function dot({ x, y }: Point, radius: number): string {
  return `<circle class="fill" cx="${round(x)}" cy="${round(y)}" r="${radius}"/>`
}

/** A ring. */
export function ring({ x, y }: Point, radius: number): string {
  return `<circle class="hollow" cx="${round(x)}" cy="${round(y)}" r="${radius}"/>`
}

/** A square on its tip. */
export function diamond({ x, y }: Point, name: "fill" | "hollow"): string {
  return `<path class="${name}" d="M${round(x)} ${round(y - 5.5)}l5.5 5.5l-5.5 5.5l-5.5 -5.5z"/>`
}

/** A triangle that points down: something begins. */
export function wedge({ x, y }: Point): string {
  return `<path class="fill" d="M${round(x - 6)} ${round(y - 5)}h12l-6 10z"/>`
}
