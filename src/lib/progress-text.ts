/**
 * What a job's progress looks like, without any clock or stream: a view and a rate in, lines out.
 */
import { formatClock, formatCount, formatRate } from './format.ts';
import { type Painter, painter } from './painter.ts';
import { printableLine } from './printable.ts';
import { cutTo, widthOf } from './terminal.ts';

/** The part of a job's view that is drawn; `core/messages.ts` has the whole. */
export interface ProgressView {
  job: string;
  name: string;
  state: string;
  total?: number;
  queued: number;
  running: number;
  succeeded: number;
  failed: number;
  skipped: number;
  retried: number;
  recovered: number;
  note?: string;
  waiting?: string;
}

/** What only time tells. */
export interface Pace {
  elapsedMs: number;
  /** Tasks a second lately; undefined until it can be known. */
  ratePerSecond?: number;
  /** Since a task ended last. */
  stillMs: number;
}

export interface DrawOptions {
  columns: number;
  color: boolean;
  unicode: boolean;
}

/** Silence this long is explained; the promise is ten seconds. */
const explainAfterMs = 5_000;
const barColumnsMax = 48;
const barColumnsMin = 8;

export function finalCount(view: ProgressView): number {
  return view.succeeded + view.failed + view.skipped;
}

function etaMs(view: ProgressView, pace: Pace): number | undefined {
  if (view.total === undefined || !pace.ratePerSecond) return undefined;
  const left = view.total - finalCount(view);
  return left > 0 ? (left / pace.ratePerSecond) * 1000 : undefined;
}

function countText(view: ProgressView): string {
  const done = finalCount(view);
  if (view.total !== undefined) return `${formatCount(done)} / ${formatCount(view.total)}`;
  const known = done + view.queued + view.running;
  return known > done ? `${formatCount(done)} / ${formatCount(known)}+` : formatCount(done);
}

function percentText(view: ProgressView): string | undefined {
  if (view.total === undefined || view.total === 0) return undefined;
  // Rounded down: 100 % is said when it is true.
  return `${Math.floor((finalCount(view) / view.total) * 100)} %`;
}

function timeText(view: ProgressView, pace: Pace): string {
  const eta = etaMs(view, pace);
  return eta === undefined ? formatClock(pace.elapsedMs) : `${formatClock(pace.elapsedMs)} · ${formatClock(eta)} left`;
}

/** Why nothing moves; undefined while something does. */
function silenceText(view: ProgressView, pace: Pace): string | undefined {
  if (view.waiting !== undefined && view.waiting !== '') return `waiting: ${view.waiting}`;
  if (pace.stillMs < explainAfterMs || view.state !== 'running') return undefined;
  if (view.running > 0) return `no task ended for ${formatClock(pace.stillMs)}, ${formatCount(view.running)} running`;
  if (view.total === undefined && view.queued === 0) return `waiting for inputs for ${formatClock(pace.stillMs)}`;
  return undefined;
}

function detailParts(view: ProgressView): { text: string; tone: 'plain' | 'warn' | 'bad' }[] {
  const counted = (count: number, word: string, tone: 'plain' | 'warn' | 'bad') =>
    count > 0 ? [{ text: `${formatCount(count)} ${word}`, tone }] : [];
  return [
    ...counted(view.running, 'running', 'plain'),
    ...counted(view.recovered, 'from the journal', 'plain'),
    ...counted(view.retried, 'retried', 'warn'),
    ...counted(view.failed, 'failed', 'bad'),
    ...counted(view.skipped, 'skipped', 'warn'),
  ];
}

/** Two lines: the bar, and what is going on. */
export function drawBar(title: string, view: ProgressView, pace: Pace, options: DrawOptions): string[] {
  const paint = painter(options.color);
  const { columns } = options;
  const shownTitle = cutTo(printableLine(title), Math.max(8, Math.floor(columns / 3)));
  const rate = pace.ratePerSecond === undefined ? undefined : formatRate(pace.ratePerSecond);
  // Dropped from the back where the window is narrow.
  const facts = [countText(view), percentText(view), rate, timeText(view, pace)].filter((text) => text !== undefined);
  const room = (): number => columns - 1 - widthOf(shownTitle) - 2 - facts.reduce((sum, text) => sum + widthOf(text) + 2, 0);
  while (facts.length > 1 && room() < barColumnsMin) facts.pop();
  const barColumns = Math.min(barColumnsMax, room());
  const share = view.total === undefined ? undefined : view.total === 0 ? 1 : finalCount(view) / view.total;
  const bar = barColumns < barColumnsMin ? '' : `${bars(share, barColumns, pace.elapsedMs, view, options, paint)}  `;
  const shownFacts = facts.map((text, index) => (index < 2 ? text : paint.dim(text))).join('  ');
  const head = room() < 0 ? cutTo(`${shownTitle}  ${facts[0]}`, columns - 1) : `${paint.bold(shownTitle)}  ${bar}${shownFacts}`;
  return [head, `${' '.repeat(widthOf(shownTitle))}  ${detailLine(view, pace, columns - 3 - widthOf(shownTitle), options, paint)}`];
}

function detailLine(view: ProgressView, pace: Pace, columns: number, { unicode }: DrawOptions, paint: Painter): string {
  const silence = silenceText(view, pace);
  const note = view.note === undefined || view.note === '' ? undefined : printableLine(view.note);
  const tones = { plain: paint.dim, warn: paint.yellow, bad: paint.red };
  const parts = [
    ...(silence === undefined ? [] : [{ text: printableLine(silence), style: paint.yellow }]),
    // What the silence says already is not said twice.
    ...detailParts(view)
      .filter(({ text }) => silence === undefined || !silence.endsWith(text))
      .map(({ text, tone }) => ({ text, style: tones[tone] })),
    ...(note === undefined ? [] : [{ text: note, style: paint.dim }]),
  ];
  const separator = unicode ? ' · ' : ', ';
  let line = '';
  let left = columns;
  for (const { text, style } of parts) {
    const before = line === '' ? '' : separator;
    const room = left - before.length;
    if (room < 4) break;
    const cut = cutTo(text, room);
    line += paint.dim(before) + style(cut);
    left = room - widthOf(cut);
  }
  return line;
}

function bars(
  share: number | undefined,
  columns: number,
  elapsedMs: number,
  view: ProgressView,
  { unicode, color }: DrawOptions,
  paint: Painter,
): string {
  const fill = view.failed > 0 ? paint.yellow : paint.green;
  const [full, half, rest] = unicode ? ['━', '╸', color ? '━' : '─'] : ['#', '', '-'];
  if (share === undefined) {
    // Nobody knows how much there is: a piece wanders along.
    const length = Math.max(3, Math.floor(columns / 5));
    const at = Math.floor(elapsedMs / 100) % (columns - length + 1);
    return `${paint.dim(rest.repeat(at))}${fill(full.repeat(length))}${paint.dim(rest.repeat(columns - length - at))}`;
  }
  const halves = Math.floor(Math.min(1, Math.max(0, share)) * columns * 2);
  const whole = Math.floor(halves / 2);
  const tip = halves % 2 === 1 ? half : '';
  return `${fill(full.repeat(whole) + tip)}${paint.dim(rest.repeat(columns - whole - tip.length))}`;
}

/** One line for logs and pipes: no escapes, complete without the lines before it. */
export function plainLine(title: string, view: ProgressView, pace: Pace, ended: boolean): string {
  const rate = pace.ratePerSecond === undefined ? undefined : formatRate(pace.ratePerSecond);
  const eta = ended ? undefined : etaMs(view, pace);
  const time = `${formatClock(pace.elapsedMs)} elapsed${eta === undefined ? '' : `, ${formatClock(eta)} left`}`;
  const silence = ended ? undefined : silenceText(view, pace);
  const details = detailParts(view)
    .filter(({ text }) => silence === undefined || !silence.endsWith(text))
    .map(({ text }) => text);
  const facts = [countText(view), percentText(view), rate, time, ...(ended ? [view.state] : [])].filter((text) => text !== undefined);
  const extra = [...(silence === undefined ? [] : [silence]), ...details, ...(view.note && !ended ? [view.note] : [])];
  return printableLine(`${title}  ${facts.join('  ')}${extra.length === 0 ? '' : `  (${extra.join(', ')})`}`);
}

/** One JSON object, for programs that watch programs. */
export function jsonLine(title: string, view: ProgressView, pace: Pace, ended: boolean): string {
  const eta = ended ? undefined : etaMs(view, pace);
  const { job, name, state, total, queued, running, succeeded, failed, skipped, retried, recovered, note, waiting } = view;
  const counts = { total, queued, running, succeeded, failed, skipped, retried, recovered };
  return JSON.stringify({
    ...{ type: 'progress', job, name, title, state, ...counts, note, waiting },
    ratePerSecond: pace.ratePerSecond === undefined ? undefined : Number(pace.ratePerSecond.toPrecision(4)),
    elapsedMs: Math.round(pace.elapsedMs),
    etaMs: eta === undefined ? undefined : Math.round(eta),
    ended,
  });
}
