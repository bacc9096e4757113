/** Those who wait for the bytes that are not on disk to become fewer. */
export class PendingWaiters {
  #waiters: { readonly bytes: number; readonly callback: () => void }[] = [];

  /** @param bytes at or below which the callback is called, once */
  add(bytes: number, callback: () => void): void {
    this.#waiters.push({ bytes, callback });
  }

  serve(pendingBytes: number): void {
    if (this.#waiters.length === 0) return;
    const ready = this.#waiters.filter(({ bytes }) => pendingBytes <= bytes);
    this.#waiters = this.#waiters.filter(({ bytes }) => pendingBytes > bytes);
    for (const { callback } of ready) callback();
  }
}
