;;; emacs.el --- The page docs/emacs.md in a real Emacs, against a real daemon  -*- lexical-binding: t -*-

;;     CUPOLA_BINARY=target/debug/cupola emacs -Q --batch -l tests/editors/emacs.el
;;
;; The code of the page is taken from the page. The last line is `N passed, M failed'.

(require 'ert)

(defconst cupola-tests-root
  (expand-file-name "../.." (file-name-directory (or load-file-name buffer-file-name))))

;; Far more than anything here takes, in seconds.
(defconst cupola-tests-patience 20)

;; A home with nothing in it, private as the daemon wants it.
(defconst cupola-tests-home (make-temp-file "cupola-emacs" t))
(setenv "HOME" cupola-tests-home)
(setenv "CUPOLA_SOCKET" (expand-file-name "v1.sock" cupola-tests-home))
(setenv "CUPOLA_STATE_DIR" (expand-file-name "state" cupola-tests-home))
(push (file-name-directory (expand-file-name (getenv "CUPOLA_BINARY"))) exec-path)

(defun cupola-tests-blocks ()
  "The blocks of code in the page, in their order."
  (with-temp-buffer
    (insert-file-contents (expand-file-name "docs/emacs.md" cupola-tests-root))
    (let (blocks)
      (while (re-search-forward "^```elisp\n\\(\\(?:.*\n\\)*?\\)```$" nil t)
        (push (match-string 1) blocks))
      (nreverse blocks))))

(defun cupola-tests-evaluate (code)
  "Evaluate all of CODE, and give the last value."
  (with-temp-buffer
    (insert code)
    (goto-char (point-min))
    (let (value)
      (condition-case nil
          (while t (setq value (eval (read (current-buffer)) t)))
        (end-of-file value)))))

(defun cupola-tests-text ()
  (if (get-buffer "*cupola*") (with-current-buffer "*cupola*" (buffer-string)) ""))

(defun cupola-tests-wait (what condition)
  "Wait until CONDITION gives something; fail naming WHAT at the deadline."
  (let ((deadline (+ (float-time) cupola-tests-patience)) value)
    (while (not (setq value (funcall condition)))
      (when (> (float-time) deadline)
        (error "Did not happen: %s; the answers are: %s" what (cupola-tests-text)))
      (accept-process-output nil 0.01))
    value))

(defun cupola-tests-wait-for-text (text)
  (cupola-tests-wait text (lambda () (string-search text (cupola-tests-text)))))

(defmacro cupola-test (name &rest body)
  "A test with empty answers and no isolation."
  (declare (indent 1))
  `(ert-deftest ,name ()
     (ignore-errors (kill-buffer "*cupola*"))
     (cupola-isolation "" "")
     ,@body))

;; Loaded from a file, as the page says: its first line matters.
(let ((file (expand-file-name "cupola.el" cupola-tests-home)))
  (with-temp-file file (insert (car (cupola-tests-blocks))))
  (load (file-name-sans-extension file)))

(cupola-test an-answer-stands-below-its-question
  (cupola-invoke "slow 5 10")
  (cupola-tests-wait-for-text "> slow 5 10\n\ntick0 tick1 tick2 tick3 tick4\n"))

(cupola-test what-is-not-ascii-arrives
  (cupola-invoke "käse\nund 日本")
  (cupola-tests-wait-for-text "> käse\n> und 日本\n\necho: käse\nund 日本\n"))

(cupola-test nothing-in-an-answer-acts-on-the-editor
  (dolist (case (with-temp-buffer
                  (insert-file-contents (expand-file-name "tests/fixtures/display.json" cupola-tests-root))
                  ;; Emacs takes no NUL in JSON.
                  (while (search-forward "\\u0000" nil t) (replace-match "\\u0001" t t))
                  (goto-char (point-min))
                  (json-parse-buffer :object-type 'plist :array-type 'list)))
    (should (equal (plist-get case :text) (cupola--harmless (plist-get case :given)))))
  (cupola-invoke "stream evil\e[2J\u202eb\rc\u009b1A")
  (cupola-tests-wait-for-text "\n\nevil\ufffd[2J\ufffdb\ufffdc\ufffd1A\n"))

(cupola-test two-answers-at-once-do-not-mix
  (cupola-isolation "first-of-two" "")
  (cupola-invoke "slow 6 30")
  (cupola-isolation "second-of-two" "")
  (cupola-invoke "stream a b c")
  (cupola-tests-wait-for-text "> stream a b c\n\na b c\n")
  (cupola-tests-wait-for-text "\n\ntick0 tick1 tick2 tick3 tick4 tick5\n"))

(cupola-test users-are-kept-apart-and-their-keys-are-in-no-buffer
  (cupola-isolation "hush-acme" "")
  (cupola-invoke "remember we are acme")
  (cupola-tests-wait-for-text "Remembered: we are acme")
  (cupola-isolation "hush-contoso" "")
  (cupola-invoke "what do you remember?")
  (cupola-tests-wait-for-text "Nothing yet")
  (cupola-isolation "hush-acme" "")
  (cupola-invoke "what do you remember?")
  (cupola-tests-wait-for-text "- we are acme")
  (let ((buffers (seq-filter (lambda (buffer) (string-search "cupola" (buffer-name buffer))) (buffer-list))))
    (should (> (length buffers) 1))
    (dolist (buffer buffers)
      (with-current-buffer buffer
        (should-not (string-search "hush" (buffer-string)))))))

(cupola-test an-answer-streams-and-cancelling-ends-its-run
  (cupola-invoke "slow 500 100")
  (cupola-tests-wait-for-text "tick1")
  (cupola-cancel)
  (cupola-tests-wait-for-text "cancelled")
  (should-not cupola--run)
  (should (= 0 (plist-get (jsonrpc-request (cupola--line) 'daemon/status nil) :runs))))

(cupola-test a-failure-stands-where-the-answer-would-be
  (let ((cupola-target '(:kind "emulator" :agent "notes-required")))
    (cupola-invoke "hello")
    (cupola-tests-wait-for-text "requires the header 'x-agent-user-isolation-key'")))

(cupola-test a-daemon-that-is-killed-is-started-again
  (cupola-isolation "survivor" "")
  (cupola-invoke "remember tea")
  (cupola-tests-wait-for-text "Remembered: tea")
  (cupola-invoke "slow 500 100")
  (cupola-tests-wait-for-text "tick0")
  (signal-process (plist-get (jsonrpc-request (cupola--line) 'daemon/status nil) :processId) 'SIGKILL)
  (cupola-tests-wait-for-text "[Server died]")
  (with-current-buffer "*Messages*"
    (should (string-match-p "cupola: the turn may have run" (buffer-string))))
  (cupola-invoke "what do you remember?")
  (cupola-tests-wait-for-text "- tea"))

(defun cupola-tests-agent ()
  "Start the odd agent, and give its process and its target."
  (let* ((port nil)
         (agent (make-process :name "odd agent" :noquery t
                              :command (list "python3" (expand-file-name "tests/fixtures/odd_agent.py" cupola-tests-root))
                              :filter (lambda (_ line) (setq port (string-to-number line))))))
    (cupola-tests-wait "the agent listens" (lambda () port))
    (list agent (list :kind "local" :port port))))

(defun cupola-tests-odd (input)
  "The value of the odd event in the answer to INPUT."
  (let (odd)
    (puthash 99 (lambda (event)
                  (when (equal (plist-get event :name) "response.odd")
                    (setq odd (plist-get (plist-get event :data) :value))))
             cupola--streams)
    (should (equal "done" (plist-get (cupola-call 'invoke :input input :protocol "responses" :partialResultToken 99) :text)))
    odd))

(cupola-test what-no-reader-could-read-arrives-in-another-form
  (pcase-let ((`(,agent ,cupola-target) (cupola-tests-agent)))
    (should (equal (make-string 6000 ?9) (cupola-tests-odd "digits 6000")))
    (should (equal "99999999999999999999" (cupola-tests-odd "digits 20")))
    (should (equal "\ufffd" (cupola-tests-odd "half")))
    (should (equal "a\ufffdb" (cupola-tests-odd "nul")))
    (should (vectorp (cupola-tests-odd "deep 5000")))
    (delete-process agent)))

(cupola-test a-long-answer-arrives-whole
  (pcase-let ((`(,agent ,cupola-target) (cupola-tests-agent))
              (cupola-tests-patience 300))
    (cupola-invoke "long 17000000")
    (cupola-tests-wait "its end" (lambda () (with-current-buffer "*cupola*"
                                              (goto-char (point-max))
                                              (looking-back "x\nend\n\n" 10))))
    (should (= (with-current-buffer "*cupola*" (buffer-size))
               (+ 17000000 (length "> long 17000000\n\nend\n\n"))))
    (delete-process agent)))

(cupola-test every-call-ends-when-a-message-cannot-be-read
  (let (failure)
    (jsonrpc-async-request (cupola--line) 'invoke (cupola--params :input "slow 500 100")
                           :timeout nil :success-fn #'ignore :error-fn (lambda (error) (setq failure error)))
    ;; The tests' own debugger would catch what the connection is to catch.
    (let ((debug-on-error nil) (process (jsonrpc--process cupola--line)))
      (funcall (process-filter process) process "Content-Length: 3\r\n\r\n{]}"))
    (cupola-tests-wait "the call ends" (lambda () failure))
    (should-not (jsonrpc-running-p cupola--line))))

(cupola-test the-other-examples-of-the-page-work
  (cupola-invoke "hello")
  (cupola-tests-wait-for-text "echo: hello")
  (pcase-let ((`(,calls ,bind) (cdr (cupola-tests-blocks))))
    (should (equal "hostname" (plist-get (cupola-tests-evaluate calls) :path)))
    (jsonrpc-shutdown cupola--line)
    (cupola-tests-evaluate bind)
    (cupola-isolation "tenant-contoso" "")
    (cupola-invoke "let me in")
    (cupola-tests-wait-for-text "[this connection is bound to another isolation]")
    (cupola-isolation "tenant-acme" "")
    (cupola-invoke "it is me")
    (cupola-tests-wait-for-text "echo: it is me")
    (setq cupola-bind nil)
    (jsonrpc-shutdown cupola--line)))

(let* ((results (ert-run-tests-batch t))
       (failed (ert-stats-completed-unexpected results)))
  (call-process "cupola" nil nil nil "stop" "--force")
  ;; `stop' does not wait for the end of the daemon, which still writes meanwhile.
  (with-timeout (20 (error "The daemon does not end"))
    (while (file-exists-p cupola-tests-home)
      (condition-case nil
          (delete-directory cupola-tests-home t)
        (file-error (accept-process-output nil 0.05)))))
  (princ (format "%d passed, %d failed\n" (ert-stats-completed-expected results) failed))
  (kill-emacs (if (zerop failed) 0 1)))
