/**
 * Progress of jobs on stderr: a bar for each on a terminal, a plain line every ten seconds elsewhere, JSON lines for
 * programs, or nothing. Owns the clock and the choice of mode; progress-text.ts owns the looks, terminal.ts the screen.
 *
 * Who has a job's views follows it: `follow(title, views)`. The job is over when its views are.
 */
import { drawBar, finalCount, jsonLine, type Pace, type ProgressView, plainLine } from './progress-text.ts';
import { createTerminal, speaksUnicode, type Terminal, wantsColor } from './terminal.ts';

export type ProgressMode = 'auto' | 'bar' | 'plain' | 'json' | 'none';
export const progressModes: readonly ProgressMode[] = ['auto', 'bar', 'plain', 'json', 'none'];

export interface ProgressOptions {
  /** `auto`: a bar on a terminal, plain lines elsewhere. */
  mode?: ProgressMode;
  color?: 'auto' | 'always' | 'never';
  /** Milliseconds, monotonic. */
  now?: () => number;
  terminal?: Terminal;
}

export interface Progress {
  readonly terminal: Terminal;
  /**
   * Draws until the views end, which it always reads to the end; never rejects on their account. `quick`: show it at
   * once, not only when it takes long.
   */
  follow(title: string, views: AsyncIterable<ProgressView>, quick?: boolean): Promise<void>;
}

const frameMs = 100;
const plainEveryMs = 10_000;
const jsonEveryMs = 1_000;
/** The rate is that of the last so many milliseconds. */
const paceWindowMs = 10_000;
/** A job that nobody asked to watch gets a bar when it has run this long: a burst of tiny jobs does not flicker. */
const patienceMs = 700;
/** More bars than this don't help anybody. */
const barsMax = 6;

interface Track {
  readonly title: string;
  readonly startMs: number;
  readonly showMs: number;
  view: ProgressView | undefined;
  movedMs: number;
  samples: { atMs: number; count: number }[];
  toldMs: number;
  told: boolean;
}

export function createProgress(options: ProgressOptions = {}): Progress {
  const now = options.now ?? (() => performance.now());
  const terminal = options.terminal ?? createTerminal(process.stderr, [process.stdout]);
  const mode = options.mode === undefined || options.mode === 'auto' ? (terminal.isTerminal ? 'bar' : 'plain') : options.mode;
  const draw = { color: wantsColor(options.color ?? 'auto', { isTTY: terminal.isTerminal }), unicode: speaksUnicode() };
  const tracks = new Set<Track>();
  let timer: NodeJS.Timeout | undefined;

  function paceOf(track: Track): Pace {
    const atMs = now();
    const oldest = track.samples[0];
    const newest = track.samples.at(-1);
    const spanMs = oldest && newest ? newest.atMs - oldest.atMs : 0;
    const moved = oldest && newest ? newest.count - oldest.count : 0;
    return {
      elapsedMs: atMs - track.startMs,
      stillMs: atMs - track.movedMs,
      ...(spanMs >= 200 && moved > 0 && { ratePerSecond: (moved / spanMs) * 1000 }),
    };
  }

  function take(track: Track, view: ProgressView): void {
    const atMs = now();
    // What the journal gave back is no work of this run, and must not flatter its rate.
    const count = finalCount(view) - view.recovered;
    if (track.samples.at(-1)?.count !== count) track.movedMs = atMs;
    track.view = view;
    track.samples.push({ atMs, count });
    while (track.samples.length > 2 && atMs - track.samples[1]!.atMs > paceWindowMs) track.samples.shift();
  }

  function frame(): void {
    if (mode === 'none') return;
    const atMs = now();
    const visible = [...tracks].filter((track) => track.view && atMs >= track.showMs);
    if (mode === 'bar') {
      const limit = Math.max(1, Math.min(barsMax, Math.floor((terminal.rows - 2) / 2)));
      const lines = visible
        .slice(0, limit)
        .flatMap((track) => drawBar(track.title, track.view!, paceOf(track), { ...draw, columns: terminal.columns }));
      terminal.show(visible.length > limit ? [...lines, `… and ${visible.length - limit} more jobs`] : lines);
      return;
    }
    for (const track of visible) {
      if (atMs - track.toldMs >= (mode === 'json' ? jsonEveryMs : plainEveryMs)) tell(track, false);
    }
  }

  function tell(track: Track, ended: boolean): void {
    track.toldMs = now();
    track.told = true;
    terminal.print((mode === 'json' ? jsonLine : plainLine)(track.title, track.view!, paceOf(track), ended));
  }

  function begin(track: Track): void {
    tracks.add(track);
    // Drawing keeps no process alive.
    if (mode !== 'none') timer ??= setInterval(frame, frameMs).unref();
  }

  function end(track: Track): void {
    tracks.delete(track);
    if (mode === 'bar' || mode === 'none') frame();
    // A last line only where there was one before, or where someone asked to watch.
    else if (track.view && (track.told || mode === 'json')) tell(track, true);
    if (tracks.size > 0) return;
    clearInterval(timer);
    timer = undefined;
  }

  return {
    terminal,
    async follow(title, views, quick = false) {
      const startMs = now();
      const showMs = startMs + (quick ? 0 : patienceMs);
      const track: Track = { title, startMs, showMs, view: undefined, movedMs: startMs, samples: [], toldMs: startMs, told: false };
      begin(track);
      try {
        for await (const view of views) take(track, view);
      } catch {
        // How the job failed is told by whoever waits for it.
      } finally {
        end(track);
      }
    },
  };
}

/** For programs that run without the command line: what the environment says. */
export function progressFromEnvironment(env: NodeJS.ProcessEnv = process.env): Progress {
  const mode = progressModes.find((each) => each === env.SHOAL_PROGRESS) ?? (env.SHOAL_QUIET === '1' ? 'none' : 'auto');
  return createProgress({ mode });
}
