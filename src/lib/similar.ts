/** Names like the one that was meant: for typing errors in commands, files and options. */

/** Changes (insert, remove, replace, swap) between two words. */
function distance(from: string, to: string): number {
  let previous: number[] = [];
  let row = Array.from({ length: to.length + 1 }, (_, column) => column);
  for (let i = 1; i <= from.length; i++) {
    const next = [i];
    for (let j = 1; j <= to.length; j++) {
      const same = from[i - 1] === to[j - 1] ? 0 : 1;
      let best = Math.min(next[j - 1]! + 1, row[j]! + 1, row[j - 1]! + same);
      if (i > 1 && j > 1 && from[i - 1] === to[j - 2] && from[i - 2] === to[j - 1]) best = Math.min(best, previous[j - 2]! + 1);
      next.push(best);
    }
    previous = row;
    row = next;
  }
  return row[to.length]!;
}

/** At most three, the nearest first; `stem` is what of a name is compared. */
export function nearest(wanted: string, names: readonly string[], stem: (name: string) => string = (name) => name): string[] {
  const target = stem(wanted).toLowerCase();
  return names
    .map((name) => {
      const own = stem(name).toLowerCase();
      const within = target.length >= 3 && (own.includes(target) || target.includes(own)) ? 1 : Number.POSITIVE_INFINITY;
      return { name, apart: Math.min(distance(target, own), within) };
    })
    .filter(({ apart }) => apart <= Math.max(1, Math.floor(target.length / 3)))
    .sort((a, b) => a.apart - b.apart || a.name.localeCompare(b.name))
    .slice(0, 3)
    .map(({ name }) => name);
}
