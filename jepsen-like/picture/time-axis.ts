/**
 * Where moments are drawn. Histories that contradict themselves are often a few microseconds of calls, minutes apart: so between two moments
 * that come one after the other there is room by the logarithm of the time between them, and the order can be read everywhere.
 */
export class TimeAxis {
  readonly #times: readonly number[];
  readonly #places: readonly number[] = [];

  /**
   * @param times moments that are told apart
   * @param width pixels from the first to the last
   */
  constructor(times: Iterable<number>, width: number) {
    this.#times = [...new Set(times)].sort((a, b) => a - b);
    const gaps = this.#times.map((time, at) => gapOf(time - (this.#times[at - 1] ?? time)));
    const total = gaps.reduce((sum, gap) => sum + gap, 0);
    let place = 0;
    this.#places = gaps.map((gap) => {
      place += total === 0 ? 0 : (gap / total) * width;
      return place;
    });
  }

  get times(): readonly number[] {
    return this.#times;
  }

  /** Of any moment; what is outside is at the edge. */
  at(time: number): number {
    const next = this.#times.findIndex((one) => one >= time);
    if (next < 0) return this.#places.at(-1) ?? 0;
    const to = this.#places[next] ?? 0;
    const after = this.#times[next] ?? 0;
    if (next === 0 || after === time) return to;
    const from = this.#places[next - 1] ?? 0;
    const before = this.#times[next - 1] ?? 0;
    return from + ((time - before) / (after - before)) * (to - from);
  }
}

function gapOf(ns: number): number {
  return ns <= 0 ? 0 : 1 + Math.log10(1 + ns / 1000);
}
