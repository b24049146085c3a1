// A session's log, as it is read or followed.

import type { MonitorEvent, MonitorResponse } from "./protocol.js";
import { Streaming } from "./streaming.js";

/** See [`Streaming`]. A newer daemon may send further types of events: ignore those that you do not know. */
export class Log extends Streaming<MonitorEvent, MonitorResponse> {}
