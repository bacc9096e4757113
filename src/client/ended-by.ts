/**
 * The same items; `return()` calls `end` first. That of a generator waits until the item has come that is being waited for, which may
 * be never, and does nothing at all of one that was not begun.
 */
export function endedBy<Item>(
  items: AsyncGenerator<Item, void, undefined>,
  end: () => void,
): AsyncGenerator<Item, void, undefined> {
  const stop = (): Promise<IteratorResult<Item, void>> => {
    end();
    return items.return();
  };
  const ended: AsyncGenerator<Item, void, undefined> = {
    next: () => items.next(),
    return: stop,
    throw: (error: unknown) => {
      end();
      return items.throw(error);
    },
    [Symbol.asyncIterator]: () => ended,
    [Symbol.asyncDispose]: async () => {
      await stop();
    },
  };
  return ended;
}
