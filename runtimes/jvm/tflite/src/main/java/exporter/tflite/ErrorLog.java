package exporter.tflite;

import com.sun.jna.Memory;
import com.sun.jna.Native;
import com.sun.jna.Platform;
import com.sun.jna.Pointer;
import exporter.core.ModelException;
import exporter.core.Unsupported;
import java.nio.charset.StandardCharsets;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * What TensorFlow Lite says when it fails. Its functions only return a status; the reason goes to an error reporter, as
 * the arguments of {@code printf}.
 *
 * <p>One interpreter writes into one log, on the thread that called it.
 */
final class ErrorLog implements TfLite.ErrorReporter {
  private static final int LONGEST = 4096; // of one message, and about the most that is kept
  private static final Pattern CUSTOM = Pattern.compile("unresolved custom op: (\\S+?)\\.?(?=\\s|$)");
  private static final Pattern FLEX = Pattern.compile("Select TensorFlow op.*?(?:\\((Flex\\w+)\\)|$)");
  private static final Pattern NO_OP =
      Pattern.compile("Didn't find op for builtin opcode '(\\w+)'(?: version '(\\d+)')?");

  private final StringBuilder text = new StringBuilder();

  /** {@code printf} into memory; the last argument is what C calls a {@code va_list}. */
  private static final class C {
    static {
      Native.register(C.class, Platform.C_LIBRARY_NAME);
    }

    private C() {}

    static native int vsnprintf(Pointer into, long size, Pointer format, Pointer arguments);
  }

  @Override
  public void report(Pointer userData, Pointer format, Pointer arguments) {
    if (text.length() > LONGEST) {
      return;
    }
    try (Memory line = new Memory(LONGEST)) {
      C.vsnprintf(line, LONGEST, format, arguments);
      String said = line.getString(0, StandardCharsets.UTF_8.name()).strip();
      text.append(text.length() == 0 ? "" : "; ").append(said.replaceAll("\\s*\\n\\s*", " "));
    }
  }

  /** What was said since the last time, and forgets it. */
  String take() {
    String said = text.length() == 0 ? "it gives no reason" : text.toString();
    text.setLength(0);
    return said;
  }

  /**
   * Why something failed, by what was said: {@link Unsupported} where a kernel is missing, else {@link ModelException}.
   *
   * @param what what could not be done
   * @param remedy what to do about it
   */
  RuntimeException failure(String code, String what, String remedy) {
    String said = take();
    String library = TfLiteEngine.library();
    Matcher flex = FLEX.matcher(said);
    Matcher custom = CUSTOM.matcher(said);
    Matcher builtin = NO_OP.matcher(said);
    if (flex.find()) {
      return new Unsupported(
          library + " has none of TensorFlow's own ops, and this model needs "
              + (flex.group(1) == null ? "some" : flex.group(1)) + "; convert it with builtin ops only");
    }
    if (custom.find()) {
      return new Unsupported(
          library + " has no kernel for the custom op " + custom.group(1) + "; convert it with builtin ops only");
    }
    if (builtin.find()) {
      String version = builtin.group(2) == null ? "" : " in version " + builtin.group(2);
      return new Unsupported(
          library + " has no kernel for " + builtin.group(1) + version
              + "; convert the model with an older converter, or update TensorFlow Lite");
    }
    return new ModelException(code, what + ": " + said + "; " + remedy);
  }
}
