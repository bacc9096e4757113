/** A file, or a line of it, is not the history that it should be: nothing can be said of it. */
export class HistoryError extends Error {
  /** @param where `file:line`, or the source alone */
  constructor(where: string, what: string) {
    super(`${where}: ${what}`);
    this.name = 'HistoryError';
  }
}
