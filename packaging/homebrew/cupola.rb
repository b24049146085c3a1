class Cupola < Formula
  desc "Local daemon that connects programs to Microsoft Foundry hosted agents"
  homepage "@HOMEPAGE@"
  version "@VERSION@"
  license "MIT"

@ARCHIVES@
  def install
    bin.install "cupola"
    bin.install "cupola-daemon"
    man1.install Dir["man/man1/*.1"]
    bash_completion.install "completions/cupola.bash" => "cupola"
    zsh_completion.install "completions/_cupola"
    fish_completion.install "completions/cupola.fish"
  end

  test do
    assert_match "echo: hello", shell_output("#{bin}/cupola invoke --no-daemon --emulator hello")
  end
end
