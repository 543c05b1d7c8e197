/** Places that schedules must come by: a simulator that no longer reaches them sees less than it says. */
const counts = new Map<string, number>();

export function reached(what: string): void {
  counts.set(what, (counts.get(what) ?? 0) + 1);
}

export function probeCounts(): ReadonlyMap<string, number> {
  return counts;
}
