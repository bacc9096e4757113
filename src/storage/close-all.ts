/** Closes one after the other, each whatever became of those before. @throws the first failure */
export async function closeAll(
  ...closes: readonly (() => Promise<unknown> | undefined)[]
): Promise<void> {
  const failures: unknown[] = [];
  for (const close of closes) {
    try {
      await close();
    } catch (error) {
      failures.push(error);
    }
  }
  if (failures.length > 0) throw failures[0];
}
