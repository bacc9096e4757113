/** A procedure that reads two keys and writes them, as the benchmarks of calls deploy it; its file imports `procedure`. */
export const TRANSFER = `export const transfer = procedure({
  handler: (ctx, { from, to, amount }: { from: string; to: string; amount: number }) => {
    const left = (ctx.get<number>(from) ?? 0) - amount;
    const right = (ctx.get<number>(to) ?? 0) + amount;
    ctx.put(from, left);
    ctx.put(to, right);
    return [left, right];
  },
});`;

/** A procedure that adds one to a counter and gives its value, as they deploy it; its file imports `ap` and `counter`. */
export const VIEW = `export const view = ap({
  handler: (ctx, page: number | string) => {
    const views = ctx.cell(counter('views/' + page));
    views.add();
    return views.value();
  },
});`;
