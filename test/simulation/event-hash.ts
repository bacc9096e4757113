const view = new DataView(new ArrayBuffer(8));

/** One number for all that happened in a run, in order: equal for two runs of one seed. 64 bits. */
export class EventHash {
  #a = 0x811c_9dc5;
  #b = 0x9e37_79b9;

  add(word: number): void {
    this.#a = Math.imul(this.#a ^ word, 0x0100_0193);
    const mixed = Math.imul(this.#b ^ (word + (this.#a >>> 7)), 0x85eb_ca6b);
    this.#b = (mixed << 5) | (mixed >>> 27);
  }

  time(ms: number): void {
    view.setFloat64(0, ms);
    this.add(view.getInt32(0));
    this.add(view.getInt32(4));
  }

  text(text: string): void {
    for (let i = 0; i < text.length; i += 1) this.add(text.charCodeAt(i));
  }

  get hex(): string {
    const word = (value: number): string => (value >>> 0).toString(16).padStart(8, '0');
    return word(this.#a) + word(this.#b);
  }
}
