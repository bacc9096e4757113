/** Lines of a shell, one at a time; whoever waits for one can be called away, and the line is kept for the next. */
export class Lines {
  readonly #source: AsyncIterator<string> | Iterator<string>;
  #next: Promise<IteratorResult<string>> | null = null;

  constructor(source: AsyncIterator<string> | Iterator<string>) {
    this.#source = source;
  }

  /** `null`: there are no more. @param away rejects to call off the waiting */
  async next(away: Promise<never> | null = null): Promise<string | null> {
    this.#next ??= Promise.resolve(this.#source.next());
    const { value, done } = await (away === null ? this.#next : Promise.race([this.#next, away]));
    this.#next = null;
    return done === true ? null : value;
  }
}
