/* The microphone: what it hears so far, and how loud. */

/* Sound as it is; what makes speech clearer takes music for noise. */
const SOUND = { echoCancellation: false, noiseSuppression: false, autoGainControl: false };

/* What browsers write that can be read before it is complete. Safari writes fragmented MP4. */
const TYPES = ["audio/webm;codecs=opus", "audio/ogg;codecs=opus", "audio/mp4", "audio/webm"];

/** Why this browser cannot record here, or "". */
export function hindrance() {
  if (!window.isSecureContext) return "Browsers give the microphone only to pages served over HTTPS, or from this machine as localhost. Sending a file works.";
  if (!navigator.mediaDevices?.getUserMedia || !window.MediaRecorder) return "This browser cannot record sound. Sending a file works.";
  return "";
}

/** What a refusal of the microphone means. */
export function whyNot(error) {
  if (error.name === "NotAllowedError" || error.name === "SecurityError") return "The microphone was not allowed. Allow it in the browser's settings for this page, and try again.";
  if (error.name === "NotFoundError") return "There is no microphone. Connect one, or send a file.";
  if (error.name === "NotReadableError") return "The microphone cannot be used; another program may have it.";
  return `The microphone cannot be used: ${error.message || error.name}.`;
}

export class Recording {
  #stream;
  #recorder;
  #context;
  #chunks = [];
  #frame = 0;

  /** Open the microphone and begin; `onLevel` gets 0..1 as long as it lasts. Throws what browsers throw. */
  static async begin(onLevel) {
    const recording = new Recording();
    recording.#stream = await navigator.mediaDevices.getUserMedia({ audio: SOUND });
    const mimeType = TYPES.find((type) => MediaRecorder.isTypeSupported(type));
    recording.#recorder = new MediaRecorder(recording.#stream, mimeType ? { mimeType, audioBitsPerSecond: 96000 } : {});
    recording.#recorder.addEventListener("dataavailable", (event) => event.data.size && recording.#chunks.push(event.data));
    recording.#recorder.start();
    recording.#measure(onLevel);
    return recording;
  }

  /** Everything heard so far, as a file that is not finished. */
  async soFar() {
    if (this.#recorder.state === "recording") {
      const given = new Promise((resolve) => this.#recorder.addEventListener("dataavailable", resolve, { once: true }));
      this.#recorder.requestData();
      await given;
    }
    return new Blob(this.#chunks, { type: this.#recorder.mimeType });
  }

  end() {
    cancelAnimationFrame(this.#frame);
    if (this.#recorder?.state === "recording") this.#recorder.stop();
    this.#stream?.getTracks().forEach((track) => track.stop());
    if (this.#context?.state !== "closed") this.#context?.close();
  }

  #measure(onLevel) {
    this.#context = new AudioContext();
    const analyser = this.#context.createAnalyser();
    analyser.fftSize = 1024;
    this.#context.createMediaStreamSource(this.#stream).connect(analyser);
    const samples = new Float32Array(analyser.fftSize);
    const look = () => {
      analyser.getFloatTimeDomainData(samples);
      const power = samples.reduce((sum, sample) => sum + sample * sample, 0) / samples.length;
      onLevel(Math.min(1, Math.max(0, 1 + Math.log10(power + 1e-9) / 5))); // -50 dB to full scale
      this.#frame = requestAnimationFrame(look);
    };
    look();
  }
}
