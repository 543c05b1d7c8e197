export interface LinkedAbort {
  /** Aborted with the first of those that it is linked to, and for its reason. */
  controller: AbortController;
  /** They no longer know of it. */
  unlink: () => void;
}

/** As `AbortSignal.any`, whose signals stay in memory for as long as somebody listens to them and what they come of may still abort. */
export function linkedAbort(...sources: readonly AbortSignal[]): LinkedAbort {
  const controller = new AbortController();
  const unlinks = sources.map((source) => {
    const follow = (): void => controller.abort(source.reason);
    if (source.aborted) follow();
    else source.addEventListener('abort', follow, { once: true });
    return () => source.removeEventListener('abort', follow);
  });
  return {
    controller,
    unlink: () => {
      for (const each of unlinks) each();
    },
  };
}
